//! Which setting wins, what is refused and where, and that the sample says what is.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const PLACE: &str = "/etc/keyherd.toml";

fn load(flags: &Flags, variables: &[(&'static str, &str)]) -> Result<Settings, ConfigError> {
    Settings::load(flags, &Environment::of(variables))
}

fn folder_with(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keyherd.toml"), config).unwrap();
    folder
}

fn in_folder(folder: &Path) -> Flags {
    Flags { data: Some(folder.to_owned()), ..Flags::default() }
}

#[test]
fn what_is_of_the_wrong_type_is_said_in_words_of_the_file() {
    let check = |text: &str, place: &str, expected: &str| {
        let said = file::parse(text, Path::new(PLACE)).unwrap_err().to_string();
        assert_eq!(said, format!("the configuration file {PLACE}, {place}: {expected}"));
    };
    check("api = 3\n", "line 1, key 'api'", "invalid type: integer, expected a section, such as [api]");
    check(
        "[broker]\nsnapshots_max = \"pl4nt3d\"\n",
        "line 2, key 'snapshots_max'",
        "invalid type: string, expected a whole number from 0",
    );
    check(
        "[background]\nenabled = 1\n",
        "line 2, key 'enabled'",
        "invalid type: integer, expected true or false",
    );
    check(
        "[background]\ninterval_seconds = true\n",
        "line 2, key 'interval_seconds'",
        "invalid type: boolean, expected a number",
    );
}

#[test]
fn a_setting_is_called_as_it_was_given() {
    let url = "mysql://x/y";
    let folder = folder_with(&format!("database_url = \"{url}\"\n"));
    let check = |flags: &Flags, variables: &[(&'static str, &str)], said: &str| {
        let error = load(flags, variables).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{said}: ")), "{error}");
    };
    let of_file = in_folder(folder.path());
    check(&of_file, &[], "database_url in the configuration file");
    check(&of_file, &[("KEYHERD_DATABASE_URL", url)], "--database-url");
    check(&Flags { database_url: Some(url.into()), ..of_file }, &[], "--database-url");
    let folder = folder_with("[api]\nlisten = \"bad\"\n");
    let settings = load(&in_folder(folder.path()), &[]).unwrap();
    for (variables, said) in [(&[][..], "[api] listen"), (&[("KEYHERD_API", "worse")][..], "KEYHERD_API")] {
        let error =
            settings.listening.resolve(&ListenFlags::default(), &Environment::of(variables)).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{said}: ")), "{error}");
    }
}

#[test]
fn the_sample_has_every_key_with_its_default() {
    let text = include_str!("sample.toml");
    let sample = file::parse(text, Path::new(PLACE)).unwrap();
    assert_eq!(format!("{sample:?}"), format!("{:?}", FileSettings::default()));
    for section in [
        "refresh",
        "access",
        "cooldown",
        "background",
        "broker",
        "journal",
        "store",
        "postgres",
        "listen",
        "redis",
        "serve",
        "api",
        "api.limits",
        "log",
        "command",
        "client",
        "upstream",
    ] {
        let body = text.split_once(&format!("\n[{section}]\n")).unwrap().1;
        let lines = body.lines().take_while(|line| !line.starts_with('['));
        let shown =
            lines.filter_map(|line| line.trim_start_matches("# ").split_once(" = ")).map(|(key, _)| key);
        assert_eq!(known_keys(section), shown.map(str::to_owned).collect(), "[{section}]");
    }
}

/// The keys of a section, as its own refusal of an unknown one lists them.
fn known_keys(section: &str) -> BTreeSet<String> {
    let wrong = file::parse(&format!("[{section}]\nno_such_key = 1\n"), Path::new(PLACE)).unwrap_err();
    let ConfigError::FileWrong { problem, .. } = wrong else { panic!("{wrong}") };
    let names = problem.split('`').skip(3).step_by(2).map(str::to_owned);
    names.filter(|name| name != "limits").collect()
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let folder = folder_with("database_url = \"sqlite:/file.db\"\n[api]\nlisten = \"127.0.0.1:3\"\n");
    let flags = in_folder(folder.path());
    let database = |flags: &Flags, variables| match load(flags, variables).unwrap().store {
        StoreSettings::Sqlite(file) => file.path,
        StoreSettings::Fleet(fleet) => panic!("{fleet:?}"),
    };
    assert_eq!(database(&flags, &[]), Path::new("/file.db"));
    let variables: &[_] = &[("KEYHERD_DATABASE_URL", "sqlite:///env.db"), ("KEYHERD_API", "127.0.0.1:2")];
    assert_eq!(database(&flags, variables), Path::new("/env.db"));
    let flagged = Flags { database_url: Some("sqlite:flag.db".into()), ..flags.clone() };
    assert_eq!(database(&flagged, variables), Path::new("flag.db"));
    let listen = |listen: Option<&str>, variables: &[(&'static str, &str)]| {
        let environment = Environment::of(variables);
        let flags_of = ListenFlags { api: listen.map(str::to_owned), ..ListenFlags::default() };
        let settings = Settings::load(&flags, &environment).unwrap();
        settings.listening.resolve(&flags_of, &environment).unwrap().listen
    };
    assert_eq!(listen(None, &[]), "127.0.0.1:3");
    assert_eq!(listen(None, variables), "127.0.0.1:2");
    assert_eq!(listen(Some("127.0.0.1:1"), variables), "127.0.0.1:1");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(database(&in_folder(empty.path()), &[]), empty.path().join("keyherd.db"));
}

#[test]
fn the_data_folder_has_a_default() {
    let data = |variables: &[(&'static str, &str)]| load(&Flags::default(), variables).unwrap().data;
    let home = ("HOME", "/nowhere/me");
    if !cfg!(target_os = "macos") {
        assert_eq!(data(&[home]), Path::new("/nowhere/me/.local/share/keyherd"));
        assert_eq!(data(&[home, ("XDG_DATA_HOME", "/nowhere/data")]), Path::new("/nowhere/data/keyherd"));
        assert_eq!(
            data(&[home, ("XDG_DATA_HOME", "relative")]),
            Path::new("/nowhere/me/.local/share/keyherd")
        );
    }
    assert_eq!(data(&[home, ("KEYHERD_DATA", "/nowhere/d")]), Path::new("/nowhere/d"));
    assert_eq!(data(&[home, ("KEYHERD_DATA", "")]), data(&[home]));
    assert_eq!(load(&Flags::default(), &[]).unwrap_err(), ConfigError::NoHome);
}

#[track_caller]
fn check_refused(config: &str, place: &str, problem: &str) {
    match file::parse(config, Path::new(PLACE)) {
        Err(ConfigError::FileWrong { place: at, problem: why }) => {
            assert_eq!(at, format!("{PLACE}, {place}"));
            assert!(why.contains(problem), "{why}");
        }
        other => panic!("{config}: {other:?}"),
    }
}

#[test]
fn what_is_refused_has_file_line_and_key() {
    check_refused("\n\nfoo = 1\n", "line 3, key 'foo'", "unknown field `foo`");
    check_refused("[refresh]\nmin_valid = 3\n", "line 2, key 'min_valid'", "unknown field `min_valid`");
    check_refused("[nothing]\n", "line 1", "unknown field `nothing`");
    check_refused(
        "[refresh]\n\nbackoff_max_seconds = 0\n",
        "line 3, key 'backoff_max_seconds'",
        "use 0.01 to 86400",
    );
    check_refused(
        "[refresh]\nbackoff_max_seconds = -1\n",
        "line 2, key 'backoff_max_seconds'",
        "out of bounds",
    );
    check_refused(
        "[refresh]\nbackoff_max_seconds = nan\n",
        "line 2, key 'backoff_max_seconds'",
        "out of bounds",
    );
    check_refused(
        "[refresh]\nbackoff_max_seconds = 9999999999\n",
        "line 2, key 'backoff_max_seconds'",
        "out of bounds",
    );
    check_refused(
        "[refresh]\nbackoff_max_seconds = \"1m\"\n",
        "line 2, key 'backoff_max_seconds'",
        "a number",
    );
    check_refused("[store]\nreaders_max = 0\n", "line 2, key 'readers_max'", "use 1 to 64");
    check_refused("[store]\naudit_keep_seconds = \"never\"\n", "line 2, key 'audit_keep_seconds'", "\"off\"");
    check_refused("[store]\naudit_keep_seconds = 60\n", "line 2, key 'audit_keep_seconds'", "use 3600 to");
    check_refused("[store]\naudit_entries_max = 1\n", "line 2, key 'audit_entries_max'", "use 1000 to");
    check_refused("[store]\naudit_entries_max = 2e3\n", "line 2, key 'audit_entries_max'", "whole");
    check_refused("[api.limits]\nstreams_max = 1e9\n", "line 2, key 'streams_max'", "invalid type");
    check_refused("[journal]\nkeep_seconds = 60\n", "line 2, key 'keep_seconds'", "use 86400 to");
    check_refused("[log]\nformat = \"xml\"\n", "line 2, key 'format'", "`text` or `json`");
    check_refused(
        "[refresh]\nconnect_timeout_seconds = 100\n",
        "line 2, key 'connect_timeout_seconds'",
        "is longer than",
    );
    check_refused(
        "[refresh]\nprovider_timeout_seconds = 400\n",
        "key 'flight_timeout_seconds'",
        "one call must fit",
    );
    check_refused(
        "[redis]\nturn_lasts_seconds = 1\n",
        "key 'turn_renew_milliseconds'",
        "would end before it is renewed",
    );
    check_refused("a = [\n", "line 1, key 'a'", "");
}

#[track_caller]
fn check_unfit(flags: &Flags, variables: &[(&'static str, &str)], said: &str) {
    let all: Vec<_> = variables.iter().copied().chain([("HOME", "/nowhere/me")]).collect();
    let error = load(flags, &all).unwrap_err();
    assert!(error.to_string().contains(said), "{error}");
    assert!(error.is_usage());
}

#[test]
fn what_cannot_be_used_is_said() {
    let url = |url: &str| Flags { database_url: Some(url.into()), ..Flags::default() };
    check_unfit(&url("postgres://me:hunter2@db:port/x"), &[], "the PostgreSQL URL cannot be used");
    let fleet = url("postgres://me:hunter2@db/x");
    check_unfit(&fleet, &[("KEYHERD_REDIS_URL", "http://:hunter2@x")], "the Redis URL cannot be used");
    check_unfit(&fleet, &[("KEYHERD_LISTEN_URL", "sqlite:x")], "is no PostgreSQL URL");
    check_unfit(&Flags::default(), &[("KEYHERD_REDIS_URL", "redis://x")], "whose store is PostgreSQL");
    check_unfit(&Flags::default(), &[("KEYHERD_LISTEN_URL", "postgres://x")], "whose store is PostgreSQL");
    let through = |url| [("KEYHERD_SERVER", url), ("KEYHERD_TOKEN", "hunter2")];
    check_unfit(&Flags::default(), &through("https://x")[..1], "KEYHERD_TOKEN is not set");
    check_unfit(&Flags::default(), &through("http://x"), "use https");
    check_unfit(&Flags::default(), &through("https://me:hunter2@x"), "user or password");
    check_unfit(&Flags::default(), &through("https://x?y"), "takes no query");
    check_unfit(&url("mysql://x"), &[], "use sqlite:PATH");
    check_unfit(&url("sqlite::memory:"), &[], "would be lost");
    check_unfit(&url("sqlite:x?mode=ro"), &[], "takes no options");
    check_unfit(&url("sqlite:"), &[], "names no file");
    check_unfit(
        &Flags::default(),
        &[("KEYHERD_MASTER_KEY", "x"), ("KEYHERD_MASTER_KEY_FILE", "/x")],
        "are both set",
    );
    check_unfit(&Flags::default(), &[("KEYHERD_EGRESS_PROXY", "socks5://me:hunter2@x")], "the egress proxy");
    let missing = Flags { config: Some("/nowhere/keyherd.toml".into()), ..Flags::default() };
    check_unfit(&missing, &[], "is missing");
}

#[test]
fn no_error_shows_a_password() {
    let flags =
        Flags { database_url: Some("postgres://me:hunter2@db/x?sslmode=hunter2".into()), ..Flags::default() };
    let variables = [("HOME", "/nowhere"), ("KEYHERD_EGRESS_PROXY", "socks5://me:hunter2@x")];
    let errors =
        [load(&flags, &variables[..1]).unwrap_err(), load(&Flags::default(), &variables).unwrap_err()];
    assert!(!format!("{errors:?} {} {}", errors[0], errors[1]).contains("hunter2"));
}

#[test]
fn listening_is_said_whole() {
    let environment = Environment::of(&[("HOME", "/nowhere")]);
    let settings = Settings::load(&Flags::default(), &environment).unwrap();
    let proxy = ListenFlags { proxy: Some("127.0.0.1:1".into()), ..ListenFlags::default() };
    let resolved = |flags: &ListenFlags| {
        let proxy = settings.listening.resolve(flags, &environment).unwrap().proxy;
        proxy.map(|place| (place.listen, place.is_default))
    };
    assert_eq!(resolved(&proxy), Some(("127.0.0.1:1".into(), false)));
    assert_eq!(resolved(&ListenFlags::default()), Some(("127.0.0.1:8485".into(), true)));
    let off = ListenFlags { proxy: Some("off".into()), ..ListenFlags::default() };
    assert_eq!(resolved(&off), None);
    let half = ListenFlags { tls_cert: Some("c".into()), ..ListenFlags::default() };
    assert!(matches!(settings.listening.resolve(&half, &environment), Err(ConfigError::Unfit { .. })));
}

#[test]
fn what_bounds_the_audit_log_may_be_off() {
    let bounds = |text: &str| {
        let store = file::parse(text, Path::new(PLACE)).unwrap().store.bounds();
        (store.audit_keep.map(|keep| keep.as_secs()), store.audit_entries_max)
    };
    assert_eq!(bounds(""), (Some(90 * 24 * 3_600), Some(10_000_000)));
    assert_eq!(bounds("[store]\naudit_keep_seconds = \"off\"\naudit_entries_max = \"off\"\n"), (None, None));
    let set = bounds("[store]\naudit_keep_seconds = 86400\naudit_entries_max = 100_000_000_000\n");
    assert_eq!(set, (Some(86_400), Some(100_000_000_000)));
}

#[test]
fn a_data_folder_that_others_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a/b");
    let settings = load(&in_folder(&data), &[]).unwrap();
    settings.prepare_data().unwrap();
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o7777, 0o700);
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o770)).unwrap();
    let error = settings.prepare_data().unwrap_err();
    assert_eq!(error, ConfigError::DataTooOpen { dir: data, mode: 0o770 });
    assert!(!error.is_usage());
}

#[test]
fn a_fleet_is_named_by_its_urls_and_shows_no_password() {
    let flags = Flags { redis_url: Some("redis://me:hunter2@r:1/".into()), ..Flags::default() };
    let variables = [
        ("HOME", "/nowhere"),
        ("KEYHERD_DATABASE_URL", "postgresql://me:hunter2@pooler:2/x"),
        ("KEYHERD_LISTEN_URL", "postgres://me:hunter2@db:3/x"),
    ];
    let settings = load(&flags, &variables).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let StoreSettings::Fleet(fleet) = settings.store else { panic!("{settings:?}") };
    assert_eq!(
        (fleet.database.to_string(), fleet.listen.to_string()),
        ("pooler:2/x".into(), "db:3/x".into())
    );
    assert_eq!(fleet.redis.unwrap().to_string(), "r:1");
}

#[test]
fn a_claim_outlives_a_providers_answer() {
    let folder = folder_with("[postgres]\nclaim_life_seconds = 110\n");
    let flags = Flags { database_url: Some("postgres://db/x".into()), ..in_folder(folder.path()) };
    let error = load(&flags, &[]).unwrap_err();
    assert!(error.to_string().contains("claim_life_seconds: 110 s is too short"), "{error}");
}

#[test]
fn copies_outlast_the_journal_where_there_is_a_redis() {
    let folder = folder_with("[journal]\nkeep_seconds = 172800\n");
    let fleet = Flags { database_url: Some("postgres://db/x".into()), ..in_folder(folder.path()) };
    load(&fleet, &[]).unwrap();
    let error = load(&Flags { redis_url: Some("redis://r".into()), ..fleet }, &[]).unwrap_err();
    assert!(error.to_string().contains("copies_keep_seconds: 90000 s is no longer"), "{error}");
}

#[test]
fn a_file_without_an_end_is_refused() {
    let error = file::read(Path::new("/dev/zero")).expect_err("it has no end");
    assert!(error.to_string().contains("it is longer than"), "{error}");
}
