//! Settings that are wrong: what is said names what is wrong and where to put it right, and blames nothing else.

use keyherd_adapters::testing::{PASSWORD, PostgresOptions, PrivatePostgres};

use crate::sandbox::Sandbox;

/// None of these is a damaged store, and none gets better by being tried again.
#[track_caller]
fn refused(url: &str, said: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.set("KEYHERD_DATABASE_URL", url);
    let ran = sandbox.run(&["cred", "list"]);
    ran.failed(1, said);
    for wrong in ["damaged", "backup", "try again", "cannot be written", PASSWORD] {
        assert!(!ran.err.contains(wrong), "'{wrong}' in: {}", ran.err);
    }
}

#[test]
fn a_database_or_schema_that_is_not_there_is_said_to_be_missing() {
    let database = PrivatePostgres::shared().unwrap().database().unwrap();
    let (server, _) = database.rsplit_once('/').unwrap();
    refused(&format!("{server}/nowhere"), &["\"nowhere\" does not exist", "create it"]);
    refused(&format!("{database}?options=-csearch_path%3Dnowhere"), &["search_path", "schema"]);
    let sandbox = Sandbox::new();
    sandbox.set("KEYHERD_DATABASE_URL", &format!("{database}\n"));
    sandbox.run(&["cred", "list"]).ok();
}

#[test]
fn a_login_that_is_refused_names_the_user_and_the_passwords_place() {
    let options = PostgresOptions { password: true, ..PostgresOptions::default() };
    let postgres = PrivatePostgres::start(options).unwrap();
    let database = postgres.database().unwrap();
    let said = &["refuses the login", "'keyherd'", "KEYHERD_DATABASE_URL"];
    refused(&database.replace(PASSWORD, "another"), said);
    refused(&database.replace(&format!(":{PASSWORD}"), ""), said);
}

#[test]
fn a_server_without_tls_is_not_waited_for() {
    let database = PrivatePostgres::shared().unwrap().database().unwrap();
    for mode in ["require", "verify-full"] {
        refused(&format!("{database}?sslmode={mode}"), &["does not speak TLS", "sslmode"]);
    }
}
