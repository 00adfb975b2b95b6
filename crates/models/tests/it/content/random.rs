//! Round trips of random messages.

use loomwork_models::{
    ApprovalRequest, ApprovalResponse, Custom, Data, Extras, File, Image, Message, OutputItem, Part,
    Reasoning, ReasoningFile, RedactedReasoning, Role, Source, SourceKind, Text, ToolCall, ToolOutput,
    ToolResult,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has finite numbers", |number| number.is_finite())
            .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn bag() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::hash_map("[a-z]{1,4}", value(), 0..3).prop_map(|map| map.into_iter().collect())
}

/// Fields that no part has: the names of known ones are camelCase words without a digit.
fn unknown() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::hash_map("later[0-9]", value(), 0..2).prop_map(|map| map.into_iter().collect())
}

fn extras() -> impl Strategy<Value = Extras> {
    (bag(), bag(), unknown()).prop_map(|(provider_options, provider_metadata, unknown)| Extras {
        provider_options,
        provider_metadata,
        unknown,
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Data::from),
        "https://[a-z]{1,5}\\.example/[a-z]{0,5}".prop_map(Data::Url),
        Just(Data::Url("data:text/plain,a%20b".to_owned())),
        bag().prop_map(Data::Reference),
    ]
}

fn item() -> impl Strategy<Value = OutputItem> {
    prop_oneof![
        (".{0,8}", extras()).prop_map(|(text, extras)| OutputItem::Text { text, extras }),
        (data(), "[a-z]{1,4}/[a-z]{1,4}", prop::option::of(".{0,4}"), extras()).prop_map(
            |(data, media_type, filename, extras)| OutputItem::File { data, media_type, filename, extras }
        ),
        extras().prop_map(|extras| OutputItem::Custom { extras }),
    ]
}

fn output() -> impl Strategy<Value = ToolOutput> {
    prop_oneof![
        ".{0,8}".prop_map(ToolOutput::Text),
        value().prop_map(ToolOutput::Json),
        ".{0,8}".prop_map(ToolOutput::ErrorText),
        value().prop_map(ToolOutput::ErrorJson),
        prop::option::of(".{0,8}").prop_map(|reason| ToolOutput::Denied { reason }),
        prop::collection::vec(item(), 0..3).prop_map(ToolOutput::Content),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let text = || ".{0,12}";
    let word = || "[a-z]{1,6}";
    let maybe = || prop::option::of("[a-z]{1,6}");
    prop_oneof![
        (text(), extras()).prop_map(|(text, extras)| Part::Text(Text { text, extras })),
        (data(), maybe(), extras()).prop_map(|(data, media_type, extras)| Part::Image(Image {
            data,
            media_type,
            extras
        })),
        (data(), word(), maybe(), extras()).prop_map(|(data, media_type, filename, extras)| {
            Part::File(File { data, media_type, filename, extras })
        }),
        (text(), extras()).prop_map(|(text, extras)| Part::Reasoning(Reasoning { text, extras })),
        (data(), word(), extras()).prop_map(|(data, media_type, extras)| Part::ReasoningFile(
            ReasoningFile { data, media_type, extras }
        )),
        (text(), extras())
            .prop_map(|(data, extras)| Part::RedactedReasoning(RedactedReasoning { data, extras })),
        (word(), extras()).prop_map(|(kind, extras)| Part::Custom(Custom { kind, extras })),
        (word(), text(), maybe(), extras()).prop_map(|(id, url, title, extras)| {
            Part::Source(Source { id, kind: SourceKind::Url { url }, title, extras })
        }),
        (word(), word(), maybe(), maybe(), extras()).prop_map(|(id, media_type, filename, title, extras)| {
            Part::Source(Source { id, kind: SourceKind::Document { media_type, filename }, title, extras })
        }),
        (word(), word(), value(), maybe(), any::<bool>(), maybe(), prop::option::of(value()), extras())
            .prop_map(|(id, name, input, invalid, provider_executed, title, tool_metadata, extras)| {
                Part::ToolCall(ToolCall {
                    id,
                    name,
                    input,
                    invalid,
                    provider_executed,
                    title,
                    tool_metadata,
                    extras,
                })
            }),
        (word(), word(), output(), any::<bool>(), extras()).prop_map(
            |(call, name, output, provider_executed, extras)| {
                Part::ToolResult(ToolResult { call, name, output, provider_executed, extras })
            }
        ),
        (word(), word(), any::<bool>(), maybe(), extras()).prop_map(
            |(id, call, automatic, signature, extras)| {
                Part::ApprovalRequest(ApprovalRequest { id, call, automatic, signature, extras })
            }
        ),
        (word(), any::<bool>(), maybe(), any::<bool>(), extras()).prop_map(
            |(id, approved, reason, provider_executed, extras)| {
                Part::ApprovalResponse(ApprovalResponse { id, approved, reason, provider_executed, extras })
            }
        ),
        bag().prop_map(|mut fields| {
            fields.insert("type".to_owned(), json!("hologram"));
            Part::Unknown(fields)
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]);
    (role, prop::collection::vec(part(), 0..4), bag(), unknown()).prop_map(
        |(role, parts, provider_options, unknown)| Message { role, parts, provider_options, unknown },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(message in message()) {
        let text = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
    }

    #[test]
    fn any_value_is_read_as_an_output_or_refused_as_a_message_without_a_panic(value in value()) {
        let _ = serde_json::from_value::<Message>(value.clone());
        let _ = serde_json::from_value::<Part>(value.clone());
        let output: ToolOutput = serde_json::from_value(value).unwrap();
        let text = serde_json::to_string(&output).unwrap();
        prop_assert_eq!(serde_json::from_str::<ToolOutput>(&text).unwrap(), output);
    }
}
