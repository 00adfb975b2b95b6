//! Live queries.

use loomwork_testkit::soon;
use reqwest::{Method, Response, header};
use serde_json::{Value, json};

use crate::world::{World, world};

/// The events of a stream, as they come.
pub(crate) struct Events {
    response: Response,
    text: String,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Events {
    pub(crate) async fn of(world: &World, path: &str, last: Option<&str>) -> Self {
        let mut request = world.request(Method::GET, path).header(header::ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("it answers");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// Returns the next event, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(|line| line.trim_start_matches(": ")).collect::<String>()
                };
                let (name, id, data) = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if !name.is_empty() {
                    let data = serde_json::from_str(&data).expect("data is JSON");
                    return Some(Event { name, id, data });
                }
                continue;
            }
            let piece = soon(self.response.chunk()).await.expect("the stream is whole")?;
            self.text.push_str(std::str::from_utf8(&piece).expect("events are text"));
        }
    }
}

#[tokio::test]
async fn a_read_that_is_followed_answers_again_when_it_changes() {
    let world = world().await;
    let mut live = Events::of(&world, "/api/threads?user=alice", None).await;
    let first = live.next().await.expect("the answer now");
    assert_eq!((first.name.as_str(), &first.data["items"]), ("result", &json!([])));

    world.post("/api/threads", json!({ "user": "bob" })).await; // none of hers
    let made = world.post("/api/threads", json!({ "user": "alice" })).await;
    let second = live.next().await.expect("the next answer");
    assert_eq!(second.data["items"], json!([made]));
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn who_comes_back_gets_what_is_new_and_nothing_twice() {
    let world = world().await;
    let first =
        Events::of(&world, "/api/threads?user=alice", None).await.next().await.expect("the answer now");
    let mut back = Events::of(&world, "/api/threads?user=alice", Some(&first.id)).await;
    let made = world.post("/api/threads", json!({ "user": "alice" })).await;
    let next = back.next().await.expect("the next answer");
    assert_eq!(next.data["items"], json!([made]));

    world.post("/api/threads", json!({ "user": "alice" })).await;
    let mut late = Events::of(&world, "/api/threads?user=alice", Some(&next.id)).await;
    let now = late.next().await.expect("what it has missed");
    assert_eq!(now.data["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_stream_ends_when_what_it_follows_is_gone_and_when_the_app_ends() {
    let world = world().await;
    let made = world.post("/api/threads", json!({})).await;
    let path = format!("/api/threads/{}", made["id"].as_str().expect("it has an id"));
    let mut live = Events::of(&world, &path, None).await;
    assert_eq!(live.next().await.expect("the thread").data, made);
    let mut list = Events::of(&world, "/api/threads", None).await;
    list.next().await.expect("the list");

    let deleted = world.request(Method::DELETE, &path).send().await.expect("it answers");
    assert!(deleted.status().is_success());
    let gone = live.next().await.expect("it says why it ends");
    assert_eq!((gone.name.as_str(), &gone.data["kind"]), ("error", &json!("not_found")));
    assert_eq!(live.next().await, None);

    list.next().await.expect("the shorter list");
    world.end().await;
    assert_eq!(list.next().await, None);
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_before_anything_is_streamed() {
    let world = world().await;
    let bob = world.post("/api/threads", json!({ "user": "bob" })).await;
    let made = world.post("/api/keys", json!({ "name": "ada", "user": "ada", "scope": "read" })).await;
    let ada = made["secret"].as_str().expect("a secret");
    let bobs = format!("/api/threads/{}", bob["id"].as_str().expect("an id"));
    for (path, status) in [
        (bobs.as_str(), 404),
        ("/api/threads/thread_00000000000000000000000000", 404),
        ("/api/threads?after=nonsense", 400),
        ("/api/threads?user=bob", 403),
    ] {
        let asked = world.anonymous(Method::GET, path).bearer_auth(ada);
        let refused = asked.header(header::ACCEPT, "text/event-stream").send().await.expect("it answers");
        crate::world::failure(refused, status).await;
    }
}
