//! Counting tokens.

use loomwork_models::{
    Data, Estimator, Message, Part, Reply, Request, TokenCounter, ToolCall, ToolResult, ToolSpec,
};
use serde_json::json;

/// The signature and the head of a PNG file of this size; nothing reads further.
fn png(width: u32, height: u32) -> Data {
    let head = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &width.to_be_bytes(), &height.to_be_bytes()];
    Data::from(head.concat())
}

#[test]
fn an_empty_text_has_no_tokens_and_a_longer_text_has_no_fewer() {
    assert_eq!(Estimator.count(""), 0);
    let text = "The Jacquard loom (1804) read patterns from cards. 日本語も。 camelCaseNames, 12345!";
    let ends = text.char_indices().map(|(end, _)| end).chain([text.len()]);
    let counts: Vec<u64> = ends.map(|end| Estimator.count(&text[..end])).collect();
    assert!(counts.is_sorted(), "{counts:?}");
}

#[test]
fn a_message_counts_its_texts_calls_results_images_and_files() {
    let text = Estimator.count_message(&Message::user("Hello there"));
    assert_eq!(text, 2 + 4);

    let small = Part::image(png(300, 500));
    let large = Part::image(png(4_000, 4_000));
    let elsewhere = Part::image_url("https://example.com/cat.png");
    assert_eq!(Estimator.count_part(&small), 200);
    assert_eq!(Estimator.count_part(&large), 1_600);
    assert_eq!(Estimator.count_part(&elsewhere), 1_600);

    let note = Part::file(b"Hello there".as_slice(), "text/plain");
    let report = Part::file(b"%PDF-1.7".as_slice(), "application/pdf");
    assert_eq!(Estimator.count_part(&note), 2);
    assert_eq!(Estimator.count_part(&report), 1_500);

    let call = ToolCall { name: "weather".into(), input: json!({ "city": "Paris" }), ..ToolCall::default() };
    let result = Message::tool([ToolResult::new(&call, "sunny")]);
    assert_eq!(Estimator.count_message(&result), 4 + 6 + 1);
    assert!(Estimator.count_part(&Part::ToolCall(call)) > 6 + 1);
}

#[test]
fn the_sizes_of_gif_and_jpeg_images_are_read_from_their_heads() {
    let gif = [b"GIF89a".as_slice(), &150_u16.to_le_bytes(), &100_u16.to_le_bytes()].concat();
    assert_eq!(Estimator.count_image(&Data::from(gif)), 20);

    let app = b"\xff\xe0\x00\x04ab".as_slice();
    let frame = b"\xff\xc0\x00\x0b\x08\x00\x64\x00\x96".as_slice();
    let jpeg = [b"\xff\xd8".as_slice(), app, frame].concat();
    assert_eq!(Estimator.count_image(&Data::from(jpeg)), 20);

    let cut = [b"\xff\xd8".as_slice(), app, b"\xff\xc0\x00".as_slice()].concat();
    assert_eq!(Estimator.count_image(&Data::from(cut)), 1_600);
}

#[test]
fn a_request_counts_its_tools_and_its_usage_is_marked_as_estimated() {
    let plain = Request::new([Message::user("Hello there")]);
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tools = [ToolSpec::function("weather", "Tells the weather of a city", schema)];
    let with_tools = plain.clone().with_tools(tools);
    assert_eq!(Estimator.count_request(&plain), 3 + 4 + 2);
    assert!(Estimator.count_request(&with_tools) > Estimator.count_request(&plain) + 6);

    let reply = Reply {
        parts: vec![Part::reasoning("a greeting"), Part::text("Hello to you too")],
        ..Reply::default()
    };
    let usage = Estimator.estimate(&plain, &reply);
    assert!(usage.estimated);
    assert_eq!((usage.input_fresh, usage.output_reasoning, usage.output_text), (9, 2, 4));
}

#[cfg(feature = "tiktoken")]
mod against_tiktoken {
    use loomwork_models::{Estimator, Tiktoken, TokenCounter};

    /// A language, the promised error in percent, and a text.
    const SAMPLES: &[(&str, u64, &str)] = &[
        ("English", 10, include_str!("tokens/english.txt")),
        ("code", 10, include_str!("tokens/code.txt")),
        ("JSON", 15, include_str!("tokens/data.txt")),
        ("Chinese", 15, include_str!("tokens/chinese.txt")),
        ("Japanese", 15, include_str!("tokens/japanese.txt")),
        ("Korean", 15, include_str!("tokens/korean.txt")),
        ("German", 25, include_str!("tokens/german.txt")),
        ("Spanish", 25, include_str!("tokens/spanish.txt")),
        ("French", 25, include_str!("tokens/french.txt")),
        ("Russian", 25, include_str!("tokens/russian.txt")),
        ("Greek", 25, include_str!("tokens/greek.txt")),
        ("Arabic", 25, include_str!("tokens/arabic.txt")),
        ("Hebrew", 25, include_str!("tokens/hebrew.txt")),
        ("Hindi", 25, include_str!("tokens/hindi.txt")),
        ("Thai", 25, include_str!("tokens/thai.txt")),
    ];

    #[test]
    fn the_estimate_is_as_near_to_the_exact_count_as_it_promises() {
        let exact = Tiktoken::default();
        let mut wrong = Vec::new();
        for (language, promised, text) in SAMPLES {
            let (guess, count) = (Estimator.count(text), exact.count(text));
            let off = guess.abs_diff(count) * 100 / count;
            println!("{language}: {guess} for {count}, {off} % off");
            if off > *promised {
                wrong.push(format!("{language}: {guess} for {count}, {off} % off, {promised} % promised"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn the_exact_counter_knows_models_by_name() {
        assert_eq!(Tiktoken::for_model("gpt-4o").expect("a known model").count("hello world"), 2);
        assert!(Tiktoken::for_model("loom").is_none());
    }
}
