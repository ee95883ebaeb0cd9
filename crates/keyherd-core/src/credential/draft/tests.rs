//! Which fields make a draft, and what is said of those that do not.

use super::*;

fn fields(change: impl FnOnce(&mut DraftFields)) -> DraftFields {
    let mut fields = DraftFields {
        name: "a".into(),
        provider: "generic".into(),
        refresh_token: Some("r".into()),
        ..Default::default()
    };
    change(&mut fields);
    fields
}

#[track_caller]
fn check(change: impl FnOnce(&mut DraftFields), expected: Result<Kind, &str>) {
    match (Draft::parse(fields(change)), expected) {
        (Ok(draft), Ok(kind)) => assert_eq!(draft.kind, kind),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error} lacks {part:?}"),
        (got, expected) => panic!("got {got:?}, expected {expected:?}"),
    }
}

#[test]
fn kinds_and_their_fields() {
    check(|_| {}, Ok(Kind::OAuth2));
    check(|f| f.kind = Some("oauth2".into()), Ok(Kind::OAuth2));
    check(|f| f.kind = Some("magic".into()), Err("'kind' is not one of"));
    check(|f| f.refresh_token = None, Err("'refresh_token' is missing"));
    check(|f| f.secret = Some("s".into()), Err("'secret' is for kind static"));
    let to_static = |f: &mut DraftFields| (f.kind, f.refresh_token) = (Some("static".into()), None);
    check(to_static, Err("'secret' is missing"));
    check(
        |f| {
            to_static(f);
            f.secret = Some("s".into());
        },
        Ok(Kind::Static),
    );
    let static_and = |change: fn(&mut DraftFields)| {
        move |f: &mut DraftFields| {
            (f.kind, f.refresh_token, f.secret) = (Some("static".into()), None, Some("s".into()));
            change(f);
        }
    };
    check(static_and(|f| f.access_token = Some("t".into())), Err("'access_token' is for kind oauth2"));
    check(static_and(|f| f.refresh_token = Some("t".into())), Err("'refresh_token' is for kind oauth2"));
    check(static_and(|f| f.token_url = Some("https://a/".into())), Err("'token_url' is for kind oauth2"));
    let to_cc = |f: &mut DraftFields| (f.kind, f.refresh_token) = (Some("client_credentials".into()), None);
    check(to_cc, Err("'client_id' is missing"));
    check(
        |f| {
            to_cc(f);
            f.client_id = Some("c".into());
        },
        Ok(Kind::ClientCredentials),
    );
    check(|f| f.kind = Some("client_credentials".into()), Err("no tokens of its own"));
}

#[test]
fn clients() {
    check(|f| f.client_secret = Some("s".into()), Err("'client_id' is missing"));
    check(|f| (f.client, f.client_id) = (Some("n".into()), Some("c".into())), Err("one or the other"));
    check(|f| (f.client, f.client_secret) = (Some("n".into()), Some("s".into())), Err("has its own"));
    check(|f| f.client = Some("n".into()), Ok(Kind::OAuth2));
}

#[test]
fn bounds() {
    check(|f| f.refresh_token = Some("".into()), Err("is empty"));
    check(|f| f.refresh_token = Some("x".repeat(TEXT_LEN_MAX + 1).into()), Err("longer than"));
    check(|f| f.refresh_token = Some("a\nb".into()), Err("control character"));
    check(|f| f.name = "no spaces".into(), Err("is not a name"));
    check(|f| f.provider = String::new(), Err("'provider' is missing"));
    check(|f| f.attributes = Some(Value::Null), Err("must be a JSON object"));
    check(|f| f.scopes = vec![String::new()], Err("scopes"));
}
