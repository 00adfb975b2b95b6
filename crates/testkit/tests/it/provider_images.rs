//! OpenAI Images.

use data_encoding::BASE64;
use loomwork_testkit::provider::{FakeProvider, Reply};
use serde_json::json;

use crate::client::{Answer, Client, get, post};

async fn edit(fake: &FakeProvider, parts: &[(&str, &str, &str)]) -> Answer {
    let mut body = String::new();
    for (disposition, kind, content) in parts {
        body.push_str(&format!("--cut\r\nContent-Disposition: form-data; {disposition}\r\n"));
        if !kind.is_empty() {
            body.push_str(&format!("Content-Type: {kind}\r\n"));
        }
        body.push_str(&format!("\r\n{content}\r\n"));
    }
    body.push_str("--cut--\r\n");
    let mut client = Client::connect(fake.url()).await;
    let kind = [("content-type", "multipart/form-data; boundary=cut")];
    client.send("POST", "/v1/images/edits", &kind, body.as_bytes()).await;
    client.answer().await.unwrap()
}

#[tokio::test]
async fn pictures_come_as_base64_with_what_they_cost() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new()).reply(Reply::new().image(&b"a picture"[..]));
    let ask = json!({"model": "gpt-image-1", "prompt": "a boat", "n": 2});
    let body = post(fake.url(), "/v1/images/generations", &ask).await.json();
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    let png = BASE64.decode(body["data"][1]["b64_json"].as_str().unwrap().as_bytes()).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert_eq!(body["usage"]["total_tokens"], 19);
    let ask = json!({"model": "gpt-image-1", "prompt": "a boat"});
    let body = post(fake.url(), "/v1/images/generations", &ask).await.json();
    assert_eq!(body["data"], json!([{"b64_json": BASE64.encode(b"a picture")}]));
}

#[tokio::test]
async fn pictures_that_come_as_addresses_can_be_fetched() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().image(&b"a picture"[..]));
    let ask = json!({"model": "dall-e-3", "prompt": "a boat"});
    let body = post(fake.url(), "/v1/images/generations", &ask).await.json();
    let path = body["data"][0]["url"].as_str().unwrap().strip_prefix(fake.url()).unwrap().to_owned();
    let picture = get(fake.url(), &path, &[]).await;
    assert_eq!((picture.header("content-type"), picture.bytes()), (Some("image/png"), b"a picture".to_vec()));
    assert!(fake.unexpected().is_empty());
}

#[tokio::test]
async fn a_form_is_recorded_part_by_part() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new());
    let file = "name=\"image[]\"; filename=\"boat.png\"";
    let parts =
        [("name=\"model\"", "", "gpt-image-1"), ("name=\"prompt\"", "", "red"), (file, "image/png", "png")];
    assert_eq!(edit(&fake, &parts).await.status, 200);
    let request = fake.last_request();
    assert_eq!(request.form_part("prompt").unwrap().text(), "red");
    let image = request.form_part("image[]").unwrap();
    assert_eq!(image.file_name.as_deref(), Some("boat.png"));
    assert_eq!((image.content_type.as_deref(), image.text()), (Some("image/png"), "png"));
}

#[tokio::test]
async fn what_is_wrong_with_a_form_or_a_wish_is_told() {
    let fake = FakeProvider::start().await;
    let (model, prompt) = (("name=\"model\"", "", "m"), ("name=\"prompt\"", "", "red"));
    let pdf = ("name=\"image\"; filename=\"a.pdf\"", "application/pdf", "pdf");
    for (parts, part) in [
        (vec![model], "Missing required parameter: 'prompt'"),
        (vec![model, prompt], "Missing required parameter: 'image'"),
        (vec![model, prompt, pdf], "unsupported mimetype ('application/pdf')"),
    ] {
        let answer = edit(&fake, &parts).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && message.contains(part), "{message}");
    }
    for (field, value) in [("size", json!("big")), ("n", json!(11)), ("response_format", json!("url"))] {
        let mut ask = json!({"model": "gpt-image-1", "prompt": "a boat"});
        ask[field] = value;
        let error = post(fake.url(), "/v1/images/generations", &ask).await.json();
        assert_eq!(error["error"]["param"], field);
    }
}
