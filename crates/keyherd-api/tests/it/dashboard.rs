//! The dashboard as a browser sees it: sessions, forms, pages, and what it refuses.

use axum::body::Body;
use http::Request;
use keyherd_api::ApiLimits;
use keyherd_core::ports::store::EventStore;
use serde_json::{Value, json};

use crate::world::{ADMIN, Answer, World};

const PAGES: [&str; 8] = [
    "/",
    "/ui/approvals",
    "/ui/credentials",
    "/ui/pools",
    "/ui/agents",
    "/ui/rules",
    "/ui/channels",
    "/ui/audit",
];

/// A browser that is logged in.
pub(crate) struct Browser<'a> {
    world: &'a World,
    cookie: String,
    csrf: String,
}

async fn get(world: &World, path: &str, cookie: &str) -> Answer {
    let request = Request::builder().uri(path).header("host", "localhost:8484").header("cookie", cookie);
    world.raw(request.body(Body::empty()).expect("is a request")).await
}

async fn post(world: &World, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder()
        .method("POST")
        .uri(path)
        .header("host", "localhost:8484")
        .header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.raw(request.body(Body::from(body.to_owned())).expect("is a request")).await
}

impl<'a> Browser<'a> {
    pub(crate) async fn logged_in(world: &'a World) -> Self {
        let origin = [("origin", "http://localhost:8484"), ("sec-fetch-site", "same-origin")];
        let answer = post(world, "/ui/login", &origin, &format!("token={ADMIN}&next=%2Fui%2Faudit")).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/ui/audit"), "{answer:?}");
        let cookie = answer.header("set-cookie");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict;"), "{cookie}");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        let page = get(world, "/", &cookie).await;
        let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").expect("a form");
        let csrf = rest.split('"').next().expect("a value").to_owned();
        Self { world, cookie, csrf }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        get(self.world, path, &self.cookie).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let body = format!("csrf={}&{body}", self.csrf);
        post(self.world, path, &[("cookie", self.cookie.as_str())], &body).await
    }

    /// Opens the stream that a page listens to, and leaves it; how that was answered.
    async fn listens(&self) -> u16 {
        let request = Request::builder().uri("/ui/live").header("host", "localhost:8484");
        let request = request.header("cookie", &self.cookie).body(Body::empty());
        self.world.open(request.expect("is a request")).await.status().as_u16()
    }
}

async fn asked(world: &World, question: &Value) -> String {
    let body = json!({"agent": "bot", "key": "fs.delete", "question": question});
    let answer = world.ask("POST", "/v1/approvals", Some(body)).await;
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(start_paused = true)]
async fn every_page_is_there_under_a_strict_policy() {
    let world = World::new([]);
    world.credential("acme-1", 3_600).await;
    world.ask("POST", "/v1/pools", Some(json!({"name": "acme", "members": ["acme-1"]}))).await;
    let browser = Browser::logged_in(&world).await;
    for path in PAGES {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!((page.header("cache-control"), page.header("x-frame-options")), ("no-store", "DENY"));
        for inline in [" style=", "<style", " onclick=", "javascript:", "https://"] {
            let text = page.text.replace("placeholder=\"https://", "");
            assert!(!text.contains(inline), "{path} has {inline}");
        }
        assert!(!page.text.contains("planted"), "{path} shows a secret");
        assert!(page.text.contains("aria-current=\"page\""), "{path}");
    }
    for (name, kind) in
        [("app.css", "text/css"), ("app.js", "text/javascript"), ("mark.svg", "image/svg+xml")]
    {
        let asset = get(&world, &format!("/ui/assets/{name}"), "").await;
        assert!(asset.status == 200 && asset.header("content-type").starts_with(kind), "{asset:?}");
    }
    assert_eq!(get(&world, "/ui/assets/other", "").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn without_a_session_there_is_the_login_alone() {
    let world = World::new([]);
    world.credential("acme-1", 3_600).await;
    for cookie in ["", "keyherd_session=0000", "keyherd_session="] {
        let start = get(&world, "/", cookie).await;
        assert!(start.status == 200 && start.text.contains("Admin token"), "{}", start.text);
        for path in &PAGES[1..] {
            let answer = get(&world, path, cookie).await;
            let next = format!("/?next={}", path.replace('/', "%2F"));
            assert_eq!((answer.status, answer.header("location")), (303, next.as_str()));
        }
        assert_eq!(get(&world, "/ui/audit/verify", cookie).await.status, 303);
    }
    // A bearer is no session, and a session is no bearer.
    assert_eq!(world.ask("GET", "/ui/audit", None).await.status, 303);
    let browser = Browser::logged_in(&world).await;
    browser.get("/v1/credentials").await.is_problem(401, "unauthorized");
    let wrong = post(&world, "/ui/login", &[], "token=wrong").await;
    assert!(wrong.status == 401 && wrong.header("set-cookie").is_empty(), "{wrong:?}");
    assert!(!wrong.text.contains(ADMIN));
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_it_is_told_to_or_in_its_time() {
    let limits = ApiLimits { session_idle: std::time::Duration::from_secs(60), ..ApiLimits::default() };
    let world = World::with_limits([], limits);
    let browser = Browser::logged_in(&world).await;
    assert_eq!(browser.get("/ui/rules").await.status, 200);
    assert_eq!(browser.post("/ui/logout", "").await.status, 303);
    assert_eq!(browser.get("/ui/rules").await.status, 303);
    let browser = Browser::logged_in(&world).await;
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(browser.get("/ui/rules").await.status, 303);
}

/// Browsers open the stream anew each minute, without a word of who asks.
#[tokio::test(start_paused = true)]
async fn listening_prolongs_no_session_and_takes_nothing_that_is_said() {
    let limits = ApiLimits { session_idle: std::time::Duration::from_secs(60), ..ApiLimits::default() };
    let world = World::with_limits([], limits);
    let id = asked(&world, &json!("may I?")).await;
    let browser = Browser::logged_in(&world).await;
    browser.post("/ui/approvals/answer", &format!("id={id}&decision=deny")).await;
    assert_eq!(browser.listens().await, 200);
    assert!(browser.get("/").await.text.contains("1 request answered"));
    tokio::time::advance(std::time::Duration::from_secs(40)).await;
    assert_eq!(browser.listens().await, 200);
    tokio::time::advance(std::time::Duration::from_secs(21)).await;
    assert_eq!(browser.listens().await, 401);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_one_click() {
    let world = World::new([]);
    let id = asked(&world, &json!({"tool": "delete", "path": "<b>/tmp</b>"})).await;
    let browser = Browser::logged_in(&world).await;
    let page = browser.get("/").await.text;
    assert!(
        page.contains("fs.delete") && page.contains("&lt;b&gt;/tmp&lt;/b&gt;") && !page.contains("<b>/tmp")
    );
    let answer = browser
        .post("/ui/approvals/answer", &format!("id={id}&decision=allow_for&for_seconds=300&next=%2F"))
        .await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
    let approval = world.read(&format!("/v1/approvals/{id}")).await;
    assert_eq!((&approval["decision"], &approval["answered_by"]), (&json!("allow_for"), &json!("dashboard")));
    let page = browser.get("/").await.text;
    assert!(page.contains("allowed for a time") && page.contains("1 request answered"), "{page}");
    assert!(!browser.get("/").await.text.contains("1 request answered"), "it is said once");
    let again = browser.post("/ui/approvals/answer", &format!("id={id}&decision=deny")).await;
    assert_eq!(again.status, 303);
    assert!(browser.get("/ui/approvals").await.text.contains("is not open any more"));
    assert!(browser.get("/ui/approvals").await.text.contains("allowed for a time"), "answered lately");
}

#[tokio::test(start_paused = true)]
async fn forms_of_others_change_nothing() {
    let world = World::new([]);
    let id = asked(&world, &json!("may I?")).await;
    let browser = Browser::logged_in(&world).await;
    let (good, bad) =
        (format!("csrf={}&id={id}&decision=deny", browser.csrf), format!("id={id}&decision=deny"));
    let cookie = ("cookie", browser.cookie.as_str());
    for (headers, body) in [
        (&[cookie][..], &bad),
        (&[cookie, ("origin", "http://evil.example")], &good),
        (&[cookie, ("origin", "null")], &good),
        (&[cookie, ("sec-fetch-site", "cross-site")], &good),
        (&[], &good),
    ] {
        let answer = post(&world, "/ui/approvals/answer", headers, body).await;
        assert!(matches!(answer.status, 401 | 403), "{headers:?}: {}", answer.status);
    }
    assert_eq!(get(&world, &format!("/ui/approvals/answer?{good}"), &browser.cookie).await.status, 405);
    assert_eq!(world.read(&format!("/v1/approvals/{id}")).await["state"], "open");
    let login =
        post(&world, "/ui/login", &[("origin", "http://evil.example")], &format!("token={ADMIN}")).await;
    assert!(login.status == 403 && login.header("set-cookie").is_empty());
}

#[tokio::test(start_paused = true)]
async fn rules_are_written_tried_and_removed() {
    let world = World::new([]);
    let browser = Browser::logged_in(&world).await;
    assert_eq!(
        browser.post("/ui/rules/add", "verdict=ask&host=*.example.com&method=DELETE").await.status,
        303
    );
    let page = browser.get("/ui/rules?method=DELETE&url=https%3A%2F%2Fapi.example.com%2Fv1").await.text;
    assert!(page.contains("The rule is written."), "{page}");
    assert!(page.contains("by <b>DELETE *.example.com</b>"), "{page}");
    let rules = world.read("/v1/rules").await;
    let (id, by) = (rules["items"][0]["id"].as_str().expect("an id"), &rules["items"][0]["created_by"]);
    assert_eq!(by, "dashboard");
    assert!(browser.get("/ui/rules?url=nonsense%20").await.status == 200);
    browser.post("/ui/rules/add", "verdict=ask&host=").await;
    assert!(browser.get("/ui/rules").await.text.contains("said bad"));
    assert_eq!(browser.post("/ui/rules/remove", &format!("id={id}")).await.status, 303);
    assert_eq!(world.read("/v1/rules").await["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_odd_address_is_refused_by_name() {
    let world = World::new([]);
    let browser = Browser::logged_in(&world).await;
    for (path, said) in [
        (
            "/ui/approvals?after=nonsense",
            "&#39;after&#39; is &#39;nonsense&#39;, which is not an approval&#39;s id",
        ),
        ("/ui/credentials?state=tired", "&#39;state&#39; is &#39;tired&#39;, which is not a state"),
        ("/ui/credentials?after=no+name", "&#39;after&#39; is &#39;no name&#39;, which is not a name"),
        ("/ui/pools?after=no+name", "&#39;after&#39; is &#39;no name&#39;"),
        ("/ui/agents?after=%3Cb%3E", "&#39;after&#39; is &#39;&lt;b&gt;&#39;"),
        ("/ui/channels?after=no+name", "&#39;after&#39; is &#39;no name&#39;"),
        ("/ui/rules?from=-1", "&#39;from&#39; is &#39;-1&#39;, which is not a whole number"),
        ("/ui/audit?before=-7", "&#39;before&#39; is &#39;-7&#39;, which is not an entry&#39;s number"),
        ("/ui/audit?before=first", "&#39;before&#39; is &#39;first&#39;"),
    ] {
        let page = browser.get(path).await;
        let text = page.text.replace('\'', "&#39;");
        assert_eq!(page.status, 400, "{path}: {text}");
        assert!(text.contains(said) && text.contains("invalid_request"), "{path}: {text}");
    }
    for path in ["/ui/audit?before=", "/ui/credentials?state=&q=&after=", "/ui/rules?from="] {
        assert_eq!(browser.get(path).await.status, 200, "{path}: what is left empty is not asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_are_paged_and_searched() {
    let world = World::new([]);
    for number in 0..60 {
        world.credential(&format!("acme-{number:02}"), 3_600).await;
    }
    let browser = Browser::logged_in(&world).await;
    let first = browser.get("/ui/credentials").await.text;
    assert!(first.contains("<b>acme-49</b>") && !first.contains("<b>acme-50</b>"));
    assert!(first.contains("after=acme-49"), "{first}");
    let second = browser.get("/ui/credentials?after=acme-49").await.text;
    assert!(
        second.contains("<b>acme-50</b>") && second.contains("<b>acme-59</b>") && !second.contains("Further")
    );
    let found = browser.get("/ui/credentials?q=acme-5").await.text;
    assert_eq!(found.matches("<b>acme-").count(), 10, "{found}");
    assert!(
        browser.get("/ui/credentials?q=acme-07").await.text.contains("<b>acme-07</b>"),
        "the name itself"
    );
    world.ask("PATCH", "/v1/credentials/acme-31", Some(json!({"disabled": true}))).await;
    let found = browser.get("/ui/credentials?state=disabled").await.text;
    assert!(found.contains("<b>acme-31</b>") && found.matches("<b>acme-").count() == 1, "{found}");
    let first = browser.get("/ui/credentials?state=active").await.text;
    assert!(first.contains("after=acme-50&amp;state=active"), "{first}");
    let second = browser.get("/ui/credentials?state=active&after=acme-50").await.text;
    assert_eq!(second.matches("<b>acme-").count(), 9, "{second}");
    assert!(browser.get("/").await.text.contains("/ui/credentials?state=active"));
    for nobodys in ["zzz", "a+b", "-acme"] {
        let found = browser.get(&format!("/ui/credentials?q={nobodys}")).await.text;
        assert!(found.contains("There is none here"), "{nobodys}: {found}");
    }
    let log = browser.get("/ui/audit").await.text;
    assert_eq!(log.matches("<tr id=\"entry-").count(), 50, "{log}");
    assert!(log.contains("before="), "{log}");
    let found = browser.get("/ui/audit?q=ACME-07").await.text;
    assert_eq!(found.matches("<tr id=\"entry-").count(), 1, "{found}");
    assert!(browser.get("/ui/audit?q=nowhere").await.text.contains("Nothing was found"));
    let verified = browser.get("/ui/audit/verify").await.text;
    assert!(verified.contains("entries verified"), "{verified}");
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_log_ends_where_it_begins() {
    let world = World::new([]);
    world.credential("acme", 3_600).await;
    let browser = Browser::logged_in(&world).await;
    let later = world.host.broker.now() + std::time::Duration::from_secs(100 * 24 * 3_600);
    world.host.store.trim(later).await.expect("trimmed");
    for page in ["/ui/audit", "/ui/audit?q=audit", "/ui/audit/verify"] {
        let log = browser.get(page).await.text;
        assert!(log.contains("audit.trim") && !log.contains("before="), "{log}");
    }
    let first = &world.read("/v1/audit?limit=1").await["items"][0]["seq"];
    assert!(first.as_i64().is_some_and(|seq| seq > 1), "{first}");
    assert_eq!(world.read("/v1/audit/verify").await["ok"], true);
}
