//! Whose turn it is, and what edits make of a pool.

use super::Standing::{Aside, Out, Probing, Ready, Resting};
use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn names(text: &str) -> Vec<Name> {
    text.split_whitespace().map(name).collect()
}

fn pool(count: usize, active: usize) -> Pool {
    let member = |n: usize| Member {
        id: CredentialId::from_i64(i64::try_from(n).expect("few")),
        name: name(&format!("m{n}")),
    };
    Pool {
        id: PoolId::from_i64(1),
        name: name("pool"),
        strategy: Strategy::Failover,
        members: (0..count).map(member).collect(),
        active,
        is_rotated: false,
        epoch: 0,
        exhausted_until: None,
        created_at: Timestamp::default(),
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn the_pointer_stays_and_moves_on_around() {
    let soonest = |place, until| Pick::Soonest { place, until: at(until) };
    let check = |active, standings: [Standing; 3], expected| {
        assert_eq!(pick(&pool(3, active), |place| standings[place]), expected, "{active} {standings:?}");
    };
    check(0, [Ready, Ready, Ready], Pick::Use(0));
    check(1, [Ready, Ready, Ready], Pick::Use(1));
    check(0, [Resting(at(9)), Ready, Ready], Pick::Turn(1));
    check(1, [Ready, Resting(at(9)), Ready], Pick::Turn(2));
    check(2, [Ready, Ready, Resting(at(9))], Pick::Turn(0));
    check(0, [Resting(at(9)), Out, Ready], Pick::Turn(2));
    check(0, [Out, Resting(at(5)), Ready], Pick::Turn(2));
    check(0, [Out, Out, Out], Pick::Nobody);
    check(0, [Out, Resting(at(5)), Out], soonest(1, 5));
    check(0, [Resting(at(9)), Resting(at(5)), Resting(at(7))], soonest(1, 5));
    check(1, [Resting(at(5)), Resting(at(5)), Resting(at(5))], soonest(1, 5));
    check(0, [Aside(at(9)), Ready, Ready], Pick::Use(1));
    check(0, [Aside(at(9)), Resting(at(5)), Out], soonest(1, 5));
    check(0, [Probing, Ready, Ready], Pick::Use(1));
    check(0, [Probing, Resting(at(9)), Out], Pick::Use(0));
    check(0, [Resting(at(9)), Probing, Ready], Pick::Turn(2));
    check(0, [Resting(at(9)), Probing, Out], Pick::Turn(1));
    check(0, [Aside(at(9)), Probing, Out], Pick::Use(1));
}

#[test]
fn a_person_s_choice_comes_first_while_all_rest() {
    let standings = [Resting(at(5)), Resting(at(9)), Resting(at(7))];
    let rotated = Pool { is_rotated: true, ..pool(3, 1) };
    assert_eq!(pick(&rotated, |place| standings[place]), Pick::Soonest { place: 1, until: at(9) });
    let out = [Resting(at(5)), Out, Resting(at(7))];
    assert_eq!(pick(&rotated, |place| out[place]), Pick::Soonest { place: 0, until: at(5) });
}

#[test]
fn an_active_member_that_is_ready_is_the_only_one_looked_at() {
    let mut looks = 0;
    let picked = pick(&pool(1_000, 7), |_| {
        looks += 1;
        Ready
    });
    assert_eq!((picked, looks), (Pick::Use(7), 1));
}

#[test]
fn turns_go_around_past_who_rests() {
    let turns = Turns::new(Strategy::RoundRobin, 3, 1);
    let go = |resting: &[usize]| {
        turns.take(|place| if resting.contains(&place) { Look::Pass } else { Look::Take(place) })
    };
    assert_eq!([go(&[]), go(&[]), go(&[]), go(&[])], [Some(1), Some(2), Some(0), Some(1)]);
    assert_eq!([go(&[2]), go(&[2]), go(&[0, 1, 2])], [Some(0), Some(1), None]);
    assert_eq!(turns.take(|_| Look::<()>::Stop), None);
    assert_eq!(go(&[]), Some(2), "nothing was taken meanwhile");
}

#[test]
fn the_least_recently_used_comes_first_when_it_is_back() {
    let turns = Turns::new(Strategy::LeastRecentlyUsed, 3, 0);
    let go =
        |resting: usize| turns.take(|place| if resting == place { Look::Pass } else { Look::Take(place) });
    assert_eq!([go(0), go(0), go(0)], [Some(1), Some(2), Some(1)]);
    assert_eq!([go(9), go(9), go(9)], [Some(0), Some(2), Some(1)], "who rested longest is first");
}

#[test]
fn turns_of_many_threads_are_shared_out_evenly() {
    let turns = Turns::new(Strategy::RoundRobin, 4, 0);
    let counts = std::sync::Mutex::new([0; 4]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let place = turns.take(Look::Take).expect("all serve");
                    counts.lock().expect("whole")[place] += 1;
                }
            });
        }
    });
    let counts = counts.into_inner().expect("whole");
    assert!(counts.iter().all(|count| (900..=1_100).contains(count)), "{counts:?}");
}

#[test]
fn edits_and_their_refusals() {
    let check = |edit: Edit, expected: Result<&str, PoolConflict>| {
        assert_eq!(edit.clone().apply(&names("a b")), expected.map(names), "{edit:?}");
    };
    check(Edit::Add(name("c")), Ok("a b c"));
    check(Edit::Add(name("a")), Err(PoolConflict::Duplicate(name("a"))));
    check(Edit::Drop(name("a")), Ok("b"));
    check(Edit::Drop(name("c")), Err(PoolConflict::NotAMember(name("c"))));
    check(Edit::Replace(names("b c a")), Ok("b c a"));
    check(Edit::Replace(names("c b c")), Err(PoolConflict::Duplicate(name("c"))));
    check(Edit::Replace(Vec::new()), Err(PoolConflict::Empty));
    assert_eq!(Edit::Drop(name("a")).apply(&names("a")), Err(PoolConflict::Empty));
    let many = (0..=MEMBERS_MAX).map(|n| name(&format!("m{n}"))).collect();
    assert_eq!(Edit::Replace(many).apply(&[]), Err(PoolConflict::TooMany));
}

#[test]
fn the_pointer_survives_an_edit() {
    let check = |active, after, expected| {
        assert_eq!(successor(&names("a b c"), active, &names(after)), expected, "{active} {after}");
    };
    check(1, "a b c", 1);
    check(1, "c b", 1);
    check(1, "a c", 1);
    check(2, "a b", 0);
    check(1, "x y", 0);
    check(1, "x a", 1);
}
