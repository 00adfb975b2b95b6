//! Vectors without a model.

use loomwork_models::{EmbedRequest, EmbeddingModel as _, ErrorKind, OfflineEmbedder};

async fn embed(texts: &[&str]) -> Vec<Vec<f32>> {
    OfflineEmbedder::default().embed(EmbedRequest::new(texts.iter().copied())).await.expect("vectors").vectors
}

fn nearness(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[tokio::test]
async fn vectors_have_the_length_1_and_any_dimension() {
    let model = OfflineEmbedder::default();
    for dimensions in [1, 2, 384, 1536, OfflineEmbedder::MAX_DIMENSIONS] {
        let texts = ["The loom", "!!!", " ", "羊毛", "a"];
        let request = EmbedRequest { dimensions: Some(dimensions), ..EmbedRequest::new(texts) };
        for vector in model.embed(request).await.expect("vectors").vectors {
            assert_eq!(vector.len(), dimensions);
            assert!((nearness(&vector, &vector) - 1.0).abs() < 1e-4);
        }
    }
    assert_eq!((model.dimensions(), embed(&["x"]).await[0].len()), (Some(384), 384));
    for (dimensions, text) in [(Some(0), "x"), (Some(70_000), "x"), (None, "")] {
        let request = EmbedRequest { dimensions, ..EmbedRequest::new([text]) };
        assert_eq!(model.embed(request).await.expect_err("bad input").kind(), &ErrorKind::BadRequest);
    }
}

#[tokio::test]
async fn texts_that_share_words_are_near_in_any_language() {
    let groups = [
        ["How do I weave a carpet?", "weaving carpets", "the price of tea"],
        ["Wie wird das Wetter morgen?", "Das Wetter von morgen", "Der Preis von Tee"],
        ["明天天气怎么样", "明天的天气", "茶叶的价格"],
        ["Какая погода завтра?", "Погода на завтра", "Цена чая"],
        ["misspelled programing langauge", "programming language", "a bowl of soup"],
        ["कल मौसम कैसा रहेगा", "कल का मौसम", "चाय की कीमत"],
        ["พรุ่งนี้อากาศเป็นอย่างไร", "อากาศพรุ่งนี้", "ราคาชา"],
    ];
    for [text, near, far] in groups {
        let vectors = embed(&[text, near, far]).await;
        let (near_by, far_off) = (nearness(&vectors[0], &vectors[1]), nearness(&vectors[0], &vectors[2]));
        assert!(near_by > far_off + 0.1, "{text}: {near_by} and {far_off}");
    }
}

/// Vectors are stored: another version has to make the same ones.
#[tokio::test]
async fn the_vector_of_a_text_never_changes() {
    let request = EmbedRequest { dimensions: Some(4), ..EmbedRequest::new(["The loom reads cards."]) };
    let vector = OfflineEmbedder::default().embed(request).await.expect("a vector").vectors.remove(0);
    let rounded: Vec<i32> = vector.iter().map(|value| (value * 1_000.0).round() as i32).collect();
    assert_eq!(rounded, [-690, 328, -610, 210]);
}
