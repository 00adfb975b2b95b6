//! OpenAI Embeddings.

use data_encoding::BASE64;
use loomwork_testkit::provider::{Failure, FakeProvider, Reply};
use serde_json::{Value, json};

use crate::client::{Answer, post};

async fn embed(fake: &FakeProvider, body: Value) -> Answer {
    post(fake.url(), "/v1/embeddings", &body).await
}

fn floats(embedding: &Value) -> Vec<f64> {
    embedding.as_array().unwrap().iter().map(|part| part.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn vectors_depend_on_the_input_alone_and_have_length_one() {
    let fake = FakeProvider::start().await;
    fake.otherwise(|_| Reply::new());
    let model = "text-embedding-3-small";
    let many = embed(&fake, json!({"model": model, "input": ["a", "b"], "dimensions": 5})).await.json();
    assert_eq!((&many["object"], &many["data"][0]["object"]), (&json!("list"), &json!("embedding")));
    assert_eq!(many["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    let single = embed(&fake, json!({"model": model, "input": "b", "dimensions": 5})).await.json();
    assert_eq!(many["data"][1]["embedding"], single["data"][0]["embedding"]);
    assert_ne!(many["data"][0]["embedding"], many["data"][1]["embedding"]);
    assert_eq!((&many["data"][1]["index"], &single["data"][0]["index"]), (&json!(1), &json!(0)));
    let vector = floats(&single["data"][0]["embedding"]);
    let length = vector.iter().map(|part| part * part).sum::<f64>();
    assert!(vector.len() == 5 && (length - 1.0).abs() < 1e-6, "{vector:?}");
    let tokens = embed(&fake, json!({"model": model, "input": [1, 2, 3]})).await.json();
    assert_eq!((tokens["data"].as_array().unwrap().len(), &tokens["usage"]["total_tokens"]), (1, &json!(3)));
}

#[tokio::test]
async fn base64_holds_the_same_little_endian_floats() {
    let fake = FakeProvider::start().await;
    let reply = Reply::new().vectors(vec![vec![0.5, -2.0]]);
    fake.reply(reply.clone()).reply(reply);
    let ask = |format: &str| json!({"model": "m", "input": "a", "encoding_format": format});
    assert_eq!(floats(&embed(&fake, ask("float")).await.json()["data"][0]["embedding"]), [0.5, -2.0]);
    let text = embed(&fake, ask("base64")).await.json();
    let bytes = BASE64.decode(text["data"][0]["embedding"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(bytes, [0, 0, 0, 0x3f, 0, 0, 0, 0xc0]);
}

#[tokio::test]
async fn inputs_beyond_the_limits_are_refused() {
    let fake = FakeProvider::start().await;
    for (input, part) in [
        (json!(""), "entry 0 is no text"),
        (json!(["a", ""]), "entry 1 is no text"),
        (json!([]), "not empty"),
        (json!(vec!["a"; 2049]), "at most 2048 entries, not 2049"),
        (json!(vec![7; 8193]), "entry 0 has 8193"),
        (json!(vec![vec![7; 8000]; 38]), "300000 tokens per request, not 304000"),
        (Value::Null, "Missing required parameter: 'input'"),
    ] {
        let answer = embed(&fake, json!({"model": "m", "input": input})).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && message.contains(part), "{message}");
    }
    let old = json!({"model": "text-embedding-ada-002", "input": "a", "dimensions": 4});
    assert_eq!(embed(&fake, old).await.json()["error"]["param"], "dimensions");
}

#[tokio::test]
async fn a_request_that_is_too_large_can_be_told_so() {
    let fake = FakeProvider::start().await;
    fake.reply(Failure::status(413));
    assert_eq!(embed(&fake, json!({"model": "m", "input": "a"})).await.status, 413);
}
