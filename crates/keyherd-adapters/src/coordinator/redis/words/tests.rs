//! Each way in which a Redis can be wrong, on real servers.

use std::sync::Arc;

use super::*;
use crate::coordinator::ears::Ears;
use crate::coordinator::{RedisLink, RedisLinkOptions, RedisPlace};
use crate::testing::{PASSWORD, PrivatePostgres, PrivateRedis, RedisOptions};

async fn check(url: &str, words: &str) {
    let place = RedisPlace::parse(url, None).unwrap();
    let link = RedisLink::start(place, &[3; 16], RedisLinkOptions::default(), Arc::new(Ears::new()));
    link.tried().await;
    let trouble = link.trouble().unwrap_or_default();
    assert!(trouble.contains(words), "{trouble}");
    for theirs in ["I/O", "extension error", "response error", "client config", "os error", PASSWORD] {
        assert!(!trouble.contains(theirs), "'{theirs}' in: {trouble}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let redis = PrivateRedis::start(RedisOptions { password: true, ..Default::default() }).unwrap();
    let url = redis.url();
    check(&url, "").await;
    check(&url.replace(PASSWORD, "another"), "refuses the user or the password").await;
    check(&url.replace(&format!(":{PASSWORD}@"), ""), "wants a password").await;
    check(&format!("{url}99"), "no database of that number").await;
    check(&url.replace("redis:", "rediss:"), "speak TLS there").await;
    let postgres = PrivatePostgres::shared().unwrap().database().unwrap();
    let (_, rest) = postgres.split_once('@').unwrap();
    let (address, _) = rest.split_once('/').unwrap();
    check(&format!("redis://{address}/"), "is it a Redis").await;
    let gone = url.clone();
    drop(redis);
    check(&gone, "nothing listens there").await;
}

#[test]
fn a_url_that_is_none_is_told_by_its_part() {
    for url in ["redis://127.0.0.1:x/", "redis://127.0.0.1:6379/x", "redis://", "redis://0.0.0.0/"] {
        let refused = RedisPlace::parse(url, None).unwrap_err().to_string();
        assert!(refused.contains("its host, its port"), "{refused}");
    }
}

#[test]
fn words_of_the_protocol() {
    for (code, words) in [("READONLY", "replica"), ("OOM", "memory"), ("NOPERM", "ACL"), ("x\ny!z", "(xyz)")]
    {
        assert!(refused(code, "").contains(words), "{code}");
    }
}
