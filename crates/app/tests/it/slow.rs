//! Clients that are slow, many, or ask for much: none of them keeps the others out.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loomwork::core::{Clock, ManualClock, Secret, Time};
use loomwork::http::{BODY_PATIENCE, Options};
use loomwork::{Builder, Hooked, Job};
use loomwork_testkit::soon;
use reqwest::{Method, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::world::{KEY, World, described, failure, serve, success};

const HOOKED: Job<Hooked, ()> = Job::new("hooked");

fn timed() -> (Builder, ManualClock) {
    let clock = Clock::manual(Time::from_millis(1_790_000_000_000));
    (described().clock(clock.clock()), clock)
}

/// Begins a request whose body never comes, and returns once the server waits for it.
async fn slow(world: &World, path: &str, key: &str) -> TcpStream {
    let mut stream =
        TcpStream::connect(world.address.trim_start_matches("http://")).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: 100\r\n\
         expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let mut answer = [0; 25];
    soon(stream.read_exact(&mut answer)).await.expect("the server wants the body");
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Lets time pass until something has happened.
async fn passing<T>(clock: &ManualClock, step: Duration, event: impl Future<Output = T>) -> T {
    let mut event = std::pin::pin!(event);
    soon(async {
        loop {
            tokio::select! {
                biased;
                happened = &mut event => return happened,
                () = tokio::task::yield_now() => clock.advance(step),
            }
        }
    })
    .await
}

async fn key(world: &World, user: &str) -> String {
    let made = world.post("/api/keys", json!({ "name": user, "user": user, "scope": "chat" })).await;
    made["secret"].as_str().expect("a secret").to_owned()
}

async fn get_as(world: &World, key: &str, path: &str) -> Response {
    world.anonymous(Method::GET, path).bearer_auth(key).send().await.expect("it answers")
}

async fn follow(world: &World, key: &str) -> Response {
    let asked = world.anonymous(Method::GET, "/api/threads").bearer_auth(key);
    asked.header("accept", "text/event-stream").send().await.expect("it answers")
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let options = Options { header_patience: Duration::from_millis(20), ..Options::default() };
    let world = serve(described().http(options)).await;
    let address = world.address.trim_start_matches("http://");
    for said in ["", "GET / HTTP/1.1\r\nhost: local"] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(said.as_bytes()).await.expect("it is sent");
        let mut rest = Vec::new();
        soon(stream.read_to_end(&mut rest)).await.expect("it is closed in order");
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_takes_no_place_and_is_given_up() {
    let (builder, clock) = timed();
    let builder = builder.hook("shop", Secret::from("a secret of the shop"), HOOKED);
    let options = Options { at_once: 2, ..Options::default() };
    let world = serve(builder.job(HOOKED, async |_, _| Ok(())).http(options)).await;
    let ada = key(&world, "ada").await;
    for path in ["/api/threads", "/api/files", "/api/exchange", "/hooks/shop"] {
        let mut streams = Vec::new();
        for _ in 0..2 {
            streams.push(slow(&world, path, &ada).await);
        }
        success(world.get("/api/threads").await).await;
        for mut stream in streams {
            let mut answer = [0; 12];
            passing(&clock, BODY_PATIENCE, stream.read_exact(&mut answer)).await.expect("it is answered");
            assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 408"), "{path}");
        }
    }
}

#[tokio::test]
async fn one_caller_cannot_have_all_places_nor_all_seats() {
    let options =
        Options { at_once_of_user: 1, subscribers: 4, subscribers_of_user: 1, ..Options::default() };
    let world = serve(described().http(options)).await;
    let (ada, bob) = (key(&world, "ada").await, key(&world, "bob").await);
    let waiting = slow(&world, "/api/threads", &ada).await;
    let refused = get_as(&world, &ada, "/api/threads").await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(failure(refused, 429).await["kind"], "limited");
    success(get_as(&world, &bob, "/api/threads").await).await;
    drop(waiting);

    let mut live = follow(&world, &bob).await;
    live.chunk().await.expect("it goes on").expect("an event");
    failure(follow(&world, &bob).await, 429).await;
    // A program has half of all: the others are left their seats.
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut live = follow(&world, KEY).await;
        live.chunk().await.expect("it goes on").expect("an event");
        kept.push(live);
    }
    failure(follow(&world, KEY).await, 429).await;
    drop(live);
    let comes_back = async {
        loop {
            let again = follow(&world, &bob).await;
            if again.status() == 200 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(comes_back).await;
}

#[derive(Clone, Deserialize, JsonSchema)]
struct Nothing {}

#[tokio::test]
async fn a_read_that_goes_on_behind_its_time_keeps_its_place() {
    let (builder, clock) = timed();
    let (begins, begun) = mpsc::channel();
    let (ends, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let builder = builder.query("slow", move |_, _, _: Nothing| {
        let _ = begins.send(());
        let _ = ended.lock().expect("nothing panics").recv();
        Ok(1)
    });
    let world = serve(builder.http(Options { at_once: 1, ..Options::default() })).await;
    let asked = world.get("/api/query/slow");
    let mut asked = std::pin::pin!(asked);
    let started = async {
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut asked => panic!("it is not through"),
        () = soon(started) => {}
    }
    let given_up = passing(&clock, Duration::from_secs(30), asked).await;
    assert!(failure(given_up, 503).await["message"].as_str().expect("text").contains("30 s"));
    failure(world.get("/api/now").await, 503).await;
    drop(ends);
    let free = async {
        while world.get("/api/now").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    soon(free).await;
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_and_what_is_too_much_comes_again() {
    let (builder, clock) = timed();
    let begun = Arc::new(Semaphore::new(0));
    let beginning = begun.clone();
    let builder = builder.action("never", move |_, _, _: Nothing| {
        beginning.add_permits(1);
        std::future::pending::<loomwork::Result<Value>>()
    });
    let world = serve(builder.http(Options { at_once: 1, ..Options::default() })).await;
    let asked = world.send(Method::POST, "/api/action/never", json!({}));
    let mut asked = std::pin::pin!(asked);
    tokio::select! {
        _ = &mut asked => panic!("it never ends"),
        permit = soon(begun.acquire()) => permit.expect("it is open").forget(),
    }
    let busy = world.get("/api/threads").await;
    assert!(busy.headers().contains_key("retry-after"));
    assert_eq!(failure(busy, 503).await["kind"], "unavailable");
    let given_up = passing(&clock, Duration::from_secs(30), asked).await;
    assert!(given_up.headers().contains_key("retry-after"));
    assert!(failure(given_up, 503).await["message"].as_str().expect("text").contains("longer than 30 s"));
    success(world.get("/api/threads").await).await;
}
