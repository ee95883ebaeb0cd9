//! What every implementation of a port must hold, as tests that run on all of them.
//!
//! A suite is plain async functions over a [`Testbed`]; [`store_contract!`](crate::store_contract) makes a test of each.
//! Each function is named for what holds, and fails where it does not. Nothing here sleeps.

#![expect(clippy::expect_used, reason = "a suite is made of tests; it is compiled outside of them too")]
#![expect(missing_docs, reason = "each case is named for what it checks")]

pub mod access;
pub mod blocks;
pub mod claiming;
pub mod creating;
mod fixtures;
pub mod listing;
pub mod logging;
pub mod pools;
pub mod profiles;
pub mod reconnecting;
pub mod recovering;
pub mod settling;
pub mod switching;
// Rules and approvals.
pub mod approvals;
pub mod rules;
// Channels.
pub mod channels;

use std::sync::Arc;

use async_trait::async_trait;

use crate::ids::OwnerId;
use crate::ports::Store;
use crate::time::Timestamp;

/// An empty store, and as many processes on it as a case wants.
#[async_trait]
pub trait Testbed: Send + Sync {
    /// One more process on the store.
    async fn open(&self) -> Process;

    /// That process dies: nothing of it lives on.
    async fn kill(&self, process: Process);

    /// The store's clock.
    fn now(&self) -> Timestamp;
}

/// A process at work on the store.
pub struct Process {
    /// Its handle.
    pub store: Arc<dyn Store>,
    /// Who it is to others.
    pub owner: OwnerId,
}

/// Makes a test of every case of the store's contract. The expression makes a [`Testbed`]
/// with an empty store; it stands in an async function.
#[macro_export]
macro_rules! store_contract {
    ($bed:expr; $($room:ident: $($case:ident),+);+) => {
        $(mod $room {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let bed = $bed;
                $crate::contract::$room::$case(&bed).await;
            })+
        })+
    };
    ($bed:expr) => {
        $crate::store_contract! { $bed;
            creating: a_credential_is_kept_whole, a_taken_name_is_left_alone, one_of_many_makes_a_name,
                a_token_lives_in_one_chain, a_spent_token_is_not_taken_over_a_live_chain,
                a_dead_chains_token_may_come_back, a_named_chain_is_joined, members_of_a_chain_agree,
                a_named_client_must_exist, a_used_again_name_sees_nothing_of_the_old;
            reconnecting: other_tokens_win_over_a_refresh, the_same_token_moves_nothing,
                the_same_token_keeps_its_verdict, a_spent_token_does_not_come_back, a_new_token_ends_a_verdict,
                a_replaced_token_that_nobody_used_comes_back, a_replaced_token_that_may_be_spent_does_not_come_back,
                another_chains_token_is_not_taken, a_reconnect_brings_its_configuration,
                a_shared_chain_is_not_reconfigured_by_one, nobody_is_not_reconnected;
            claiming: a_claim_is_granted_once, one_of_many_wins, a_moved_row_is_not_claimed,
                a_claim_tells_who_holds_it, a_gone_chain_is_not_claimed, claims_are_counted,
                claims_are_counted_by_their_age, a_claim_is_renewed_by_its_owner_for_its_whole_life,
                a_living_owners_claim_is_not_settled_by_another;
            settling: a_grant_is_the_next_generation, a_lost_reply_is_success,
                a_failure_is_not_taken_for_a_lost_reply,
                without_its_claim_nothing_is_settled, a_reconnect_supersedes_a_grant,
                a_verdict_that_lost_a_race_is_not_recorded, every_trouble_is_kept_as_it_is,
                a_released_claim_leaves_all_else, unrelated_state_survives_a_refresh,
                every_member_of_a_chain_sees_a_refresh, a_removed_chain_settles_nothing,
                many_generations_spend_each_token_once,
                an_answer_from_beyond_a_restored_backup_forgets_no_spent_token;
            recovering: a_dead_owners_claim_is_settled_by_another, a_journaled_answer_is_committed_over_a_claim,
                a_journaled_answer_is_committed_twice_at_no_harm, a_reconnect_wins_over_the_journal,
                an_older_journal_entry_is_superseded;
            blocks: a_block_is_the_clients_not_the_credentials, a_blocked_client_is_not_claimed_for,
                a_corrected_client_is_not_blocked, a_corrected_client_wakes_who_waited_for_it, an_amended_client_is_not_blocked,
                a_block_on_yesterdays_client_holds_nobody, a_used_client_is_not_removed,
                another_providers_client_of_that_name_is_left_alone, clients_come_in_order;
            profiles: profiles_are_kept_as_they_were_given, a_profile_that_does_not_change_tells_nothing;
            pools: a_pool_is_kept_whole, pools_come_in_pages, pools_and_credentials_share_their_names,
                what_does_not_fit_changes_nothing, an_edit_keeps_the_pointer, the_pointer_moves_once,
                exhaustion_is_said_once, a_pooled_credential_is_not_removed, one_of_many_pools_gets_a_credential;
            access: agents_are_kept_whole, a_taken_name_of_an_agent_is_left_alone,
                an_agent_is_allowed_what_is_there, one_of_many_makes_an_agent, a_revoked_agent_is_gone,
                bindings_are_kept_whole, a_binding_is_of_what_is_there, what_is_bound_already_is_left_alone,
                a_removed_binding_is_gone, there_are_no_more_than_there_may_be, what_is_used_is_not_removed,
                a_use_and_a_removal_do_not_both_happen, a_revoked_agents_questions_are_withdrawn;
            switching: a_cooldown_only_extends, a_rest_ends_by_its_reason,
                a_longer_rest_outlives_a_clear_of_the_reason_before_it, scopes_rest_beside_the_account,
                one_of_many_cools, an_amendment_moves_the_row,
                an_amendment_that_changes_nothing_says_nothing, a_chain_goes_with_its_last_member,
                a_token_that_is_being_spent_is_not_forgotten, nobody_is_not_amended;
            logging: every_change_is_entered_once, what_did_not_happen_is_not_told, events_come_in_order,
                entries_come_in_order, many_writers_keep_their_chains, a_note_stands_for_itself,
                many_lines_at_once_are_one_after_the_other, lines_are_read_from_any_one_of_them_on,
                the_oldest_entries_go_and_the_rest_is_sound, lines_are_trimmed_like_entries, a_log_is_sound_while_it_is_trimmed_and_written;
            listing: credentials_come_in_pages, the_longest_due_comes_first, who_is_switched_off_is_never_due,
                a_chain_is_rescheduled_without_a_revision, a_due_time_that_changed_since_is_left_alone, the_census_counts_every_state;
            rules: rules_are_kept_whole, the_same_rule_is_there_once, one_of_many_writes_a_rule,
                a_change_of_rules_is_whole, a_remembered_answer_is_kept_whole, answers_go_with_their_agent;
            approvals: the_same_question_is_open_once, one_of_many_opens, the_first_answer_wins,
                an_answer_comes_in_time_and_a_timeout_does_not, an_answer_is_remembered_once,
                what_is_remembered_gives_way_to_the_stronger_alone, prompts_are_bounded,
                waiters_are_counted_over_all_processes, approvals_come_in_pages, what_ended_is_dropped_in_time;
            channels: channels_are_kept_whole, what_is_there_keeps_another_channel_out,
                an_approval_is_due_on_every_channel_once, one_of_many_takes_a_notice,
                what_a_dead_process_had_in_hand_is_taken_over, an_end_is_due_where_it_was_announced,
                what_failed_is_due_again_then, one_process_listens_at_a_time
        }
    };
}
