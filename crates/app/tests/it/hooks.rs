//! Hooks: signed requests become jobs.

use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use loomwork::Hooked;
use loomwork::Job;
use loomwork::core::Secret;
use loomwork_testkit::soon;
use reqwest::{Method, Response};
use serde_json::json;
use sha2::Sha256;

use crate::world::{World, described, failure, serve, success};

const SYNC: Job<Hooked, ()> = Job::new("sync");
const SECRET: &str = "shared";

fn mac(signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key does");
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

async fn world() -> (World, Arc<Mutex<Vec<Hooked>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let builder = described().hook("shop", Secret::from(SECRET), SYNC).job(SYNC, move |_, hooked: Hooked| {
        hearing.lock().expect("nothing panics").push(hooked);
        async { Ok(()) }
    });
    (serve(builder).await, heard)
}

async fn send(world: &World, body: &str, headers: &[(&str, String)]) -> Response {
    let mut request = world.anonymous(Method::POST, "/hooks/shop").body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.send().await.expect("it answers")
}

/// Waits until no job waits or runs.
async fn drained(world: &World) {
    let idle = async {
        let mut pending = world.app.store().watch(|tx| {
            let page = loomwork::store::Page::first(1);
            Ok(loomwork::workpool::list(tx, loomwork::workpool::Listed::Pending("default"), page)?.0.len())
        });
        while pending.next().await.expect("it is open").expect("it is read") > 0 {}
    };
    soon(idle).await;
}

#[tokio::test]
async fn a_delivery_becomes_one_job_however_often_it_comes() {
    let (world, heard) = world().await;
    let now = world.app.clock().now().millis() / 1000;
    let body = r#"{"id":"evt_1","paid":true}"#;
    let stripe = format!("t={now},v1={}", HEXLOWER.encode(&mac(&format!("{now}.{body}"))));
    let headers = [("stripe-signature", stripe)];
    assert_eq!(success(send(&world, body, &headers).await).await, json!({ "new": true }));
    assert_eq!(success(send(&world, body, &headers).await).await, json!({ "new": false }));
    drained(&world).await;
    let heard = heard.lock().expect("nothing panics");
    assert_eq!((heard.len(), heard[0].delivery.as_str(), heard[0].body.as_str()), (1, "evt_1", body));
}

#[tokio::test]
async fn signatures_of_standard_webhooks_and_github_are_known_too() {
    let (world, heard) = world().await;
    let now = world.app.clock().now().millis() / 1000;
    let standard = BASE64.encode(&mac(&format!("msg_1.{now}.a")));
    let headers = [
        ("webhook-id", "msg_1".to_owned()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", format!("v1,AAAA v1,{standard}")),
    ];
    success(send(&world, "a", &headers).await).await;
    let headers = [("x-hub-signature-256", format!("sha256={}", HEXLOWER.encode(&mac("b"))))];
    success(send(&world, "b", &headers).await).await;
    drained(&world).await;
    assert_eq!(heard.lock().expect("nothing panics").len(), 2);
}

#[tokio::test]
async fn what_is_not_signed_rightly_or_too_late_becomes_nothing() {
    let (world, heard) = world().await;
    failure(send(&world, "a", &[]).await, 401).await;
    let wrong = [("x-hub-signature-256", format!("sha256={}", HEXLOWER.encode(&mac("b"))))];
    failure(send(&world, "a", &wrong).await, 401).await;
    let then = world.app.clock().now().millis() / 1000 - 600;
    let late = format!("t={then},v1={}", HEXLOWER.encode(&mac(&format!("{then}.a"))));
    failure(send(&world, "a", &[("stripe-signature", late)]).await, 401).await;
    drained(&world).await;
    assert_eq!(heard.lock().expect("nothing panics").len(), 0);
}
