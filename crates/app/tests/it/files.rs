//! Files.

use reqwest::{Method, StatusCode, header};
use serde_json::json;

use crate::world::{failure, success, world};

#[tokio::test]
async fn a_file_is_taken_in_and_given_out_whole_and_in_ranges() {
    let world = world().await;
    let upload =
        world.request(Method::POST, "/api/files?name=people.csv").body("id,name\n1,Ada\n").send().await;
    let file = success(upload.expect("it answers")).await;
    assert_eq!((&file["size"], &file["mediaType"]), (&json!(14), &json!("text/csv")));
    let path = format!("/api/files/{}", file["id"].as_str().expect("an id"));
    assert_eq!(world.read(&path).await, file);

    let content = format!("{path}/content");
    let whole = world.get(&content).await;
    assert_eq!(
        (whole.status(), &whole.headers()[header::CONTENT_TYPE]),
        (StatusCode::OK, &"text/csv".parse().expect("a value"))
    );
    let tag = whole.headers()[header::ETAG].clone();
    assert_eq!(whole.text().await.expect("a body"), "id,name\n1,Ada\n");
    let has_it = world.request(Method::GET, &content).header(header::IF_NONE_MATCH, &tag).send().await;
    assert_eq!(has_it.expect("it answers").status(), StatusCode::NOT_MODIFIED);

    for (range, told, part) in [
        ("bytes=8-9", "bytes 8-9/14", "1,"),
        ("bytes=10-", "bytes 10-13/14", "Ada\n"),
        ("bytes=-4", "bytes 10-13/14", "Ada\n"),
        ("bytes=10-99", "bytes 10-13/14", "Ada\n"),
    ] {
        let response = world.request(Method::GET, &content).header(header::RANGE, range).send().await;
        let response = response.expect("it answers");
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(response.headers()[header::CONTENT_RANGE], told);
        assert_eq!(response.text().await.expect("a body"), part);
    }
    let beyond = world.request(Method::GET, &content).header(header::RANGE, "bytes=14-").send().await;
    failure(beyond.expect("it answers"), 416).await;
    let deleted = world.request(Method::DELETE, &path).send().await.expect("it answers");
    assert_eq!(success(deleted).await, json!({ "deleted": true }));
    failure(world.get(&path).await, 404).await;
}
