//! The rules of a prepared conversation, over random ones.

use std::collections::HashSet;

use loomwork_models::history::{
    DataForm, ForeignReasoning, NameRule, Readable, ReasoningRule, SystemRule, Target, UnreadableFiles,
    prepare,
};
use loomwork_models::{
    ApprovalRequest, ApprovalResponse, Custom, Data, Extras, Image, Message, ModelName, Part, ProviderData,
    Reasoning, RedactedReasoning, Role, Source, SourceKind, ToolCall, ToolOutput, ToolResult,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Few ids, so that they meet.
fn id() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "a.b", "a_b", "a_2"]).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", " \n", "word", "two words"]).prop_map(str::to_owned)
}

fn extras() -> impl Strategy<Value = Extras> {
    let bag = prop::sample::select(vec![
        json!({}),
        json!({ "mine": { "signature": "s" } }),
        json!({ "mine": { "model": "model-1" } }),
        json!({ "mine": { "model": "other-1" } }),
        json!({ "yours": { "model": "model-1" }, "mine": { "model": "model-2" } }),
        json!({ "yours": {} }),
    ]);
    bag.prop_map(|bag| Extras {
        provider_metadata: bag.as_object().cloned().unwrap_or_default(),
        ..Extras::default()
    })
}

fn output() -> impl Strategy<Value = ToolOutput> {
    let file = json!({ "type": "file", "data": { "type": "url", "url": "https://a/b" }, "mediaType": "a/b" });
    let outputs = [
        json!("text"),
        json!({ "type": "execution-denied" }),
        json!({ "type": "content", "value": [{ "type": "text", "text": "" }, file, { "type": "custom" }] }),
    ];
    prop::sample::select(outputs.to_vec()).prop_map(ToolOutput::from)
}

fn part() -> impl Strategy<Value = Part> {
    let data = prop::sample::select(vec![
        Data::Url("https://example.com/a".to_owned()),
        Data::Url("data:text/plain,a%20b".to_owned()),
        Data::Url("data:image/png;base64,iVBORw0KGgo=".to_owned()),
        Data::from(&b"\x89PNG\r\n\x1a\n"[..]),
        Data::Reference(Map::from_iter([("mine".to_owned(), json!("file_1"))])),
    ]);
    prop_oneof![
        4 => (text(), extras()).prop_map(|(text, extras)| Part::Text(loomwork_models::Text { text, extras })),
        2 => (text(), extras()).prop_map(|(text, extras)| Part::Reasoning(Reasoning { text, extras })),
        1 => extras().prop_map(|extras| Part::RedactedReasoning(RedactedReasoning { data: "x".into(), extras })),
        1 => extras().prop_map(|extras| Part::Custom(Custom { kind: "mine.thing".into(), extras })),
        1 => Just(Part::Unknown(Map::from_iter([("type".to_owned(), json!("later"))]))),
        1 => Just(Part::Source(Source {
            id: "s".into(),
            kind: SourceKind::Url { url: "https://example.com".into() },
            title: None,
            extras: Extras::default(),
        })),
        1 => (data.clone(), extras())
            .prop_map(|(data, extras)| Part::Image(Image { data, media_type: None, extras })),
        1 => data.prop_map(|data| Part::File(loomwork_models::File {
            data,
            media_type: "application/octet-stream".into(),
            filename: None,
            extras: Extras::default(),
        })),
        5 => (id(), id(), any::<bool>(), any::<bool>(), extras()).prop_map(
            |(id, name, broken, provider_executed, extras)| Part::ToolCall(ToolCall {
                id,
                name,
                input: if broken { json!("{") } else { json!({}) },
                invalid: broken.then(|| "no JSON".to_owned()),
                provider_executed,
                extras,
                ..ToolCall::default()
            })
        ),
        5 => (id(), output(), any::<bool>(), extras()).prop_map(
            |(call, output, provider_executed, extras)| Part::ToolResult(ToolResult {
                call,
                name: "tool".into(),
                output,
                provider_executed,
                extras,
            })
        ),
        2 => (id(), id(), extras())
            .prop_map(|(id, call, extras)| Part::ApprovalRequest(ApprovalRequest {
                id,
                call,
                extras,
                ..ApprovalRequest::default()
            })),
        2 => (id(), any::<bool>())
            .prop_map(|(id, approved)| Part::ApprovalResponse(ApprovalResponse {
                id,
                approved,
                ..ApprovalResponse::default()
            })),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let role =
        prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Assistant, Role::Tool]);
    let options =
        prop::sample::select(vec![json!({}), json!({ "mine": { "cacheControl": 1 }, "yours": {} })]);
    (role, prop::collection::vec(part(), 0..6), options).prop_map(|(role, parts, options)| Message {
        provider_options: options.as_object().cloned().unwrap_or_default(),
        ..Message::new(role, parts)
    })
}

const IMAGES: &[Readable] =
    &[Readable { media_type: "image/*", forms: &[DataForm::Bytes, DataForm::Reference] }];

fn target() -> impl Strategy<Value = Target> {
    (
        prop::sample::select(vec![ReasoningRule::Own, ReasoningRule::Any, ReasoningRule::None]),
        prop::sample::select(vec![ForeignReasoning::Drop, ForeignReasoning::Text]),
        prop::sample::select(vec![SystemRule::Anywhere, SystemRule::Leading, SystemRule::AsUser]),
        prop::sample::select(vec![
            NameRule::Any,
            NameRule::Short { longest: 8 },
            NameRule::Plain { longest: 8 },
        ]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(reasoning, foreign_reasoning, system, call_ids, alternating, reads)| Target {
            reasoning,
            foreign_reasoning,
            system,
            alternating,
            call_ids,
            user_files: if reads { IMAGES } else { &[] },
            unreadable_files: UnreadableFiles::Note,
            ..Target::new(ModelName::new("mine", "model-1"))
        })
}

/// Says which rule a prepared conversation breaks.
fn broken_rule(messages: &[Message], target: &Target) -> Option<String> {
    let mut ids = HashSet::new();
    let mut has_others = false;
    for (index, message) in messages.iter().enumerate() {
        let next = messages.get(index + 1);
        if message.parts.is_empty() {
            return Some(format!("message {index} is empty"));
        }
        match (target.system, message.role) {
            (SystemRule::Leading, Role::System) if has_others => {
                return Some(format!("{index} does not lead"));
            }
            (SystemRule::AsUser, Role::System) => return Some(format!("{index} is a system message")),
            _ => has_others |= message.role != Role::System,
        }
        let same_as_next = next.is_some_and(|next| next.role == message.role);
        if target.alternating && same_as_next {
            return Some(format!("messages {index} and its next have one role"));
        }
        let local: Vec<_> = message.tool_calls().filter(|call| !call.provider_executed).collect();
        for call in &local {
            if !ids.insert(call.id.clone()) {
                return Some(format!("the id {} is there twice", call.id));
            }
            if !fits(&call.id, target.call_ids) || !fits(&call.name, target.tool_names) {
                return Some(format!("the id {} or the name {} does not fit", call.id, call.name));
            }
        }
        let calls: Vec<_> = local.iter().map(|call| &call.id).collect();
        let results: Vec<_> = next
            .filter(|next| next.role == Role::Tool)
            .map(|next| next.tool_results().map(|result| &result.call).collect())
            .unwrap_or_default();
        if calls != results {
            return Some(format!("message {index} calls {calls:?}, and the next has results of {results:?}"));
        }
        let is_cut = matches!(message.parts.last(), Some(Part::Reasoning(_)));
        let goes_on = next.is_some_and(|next| next.role == Role::Assistant);
        if is_cut && !goes_on {
            return Some(format!("nothing follows the thoughts of message {index}"));
        }
        for part in &message.parts {
            if let Some(problem) = broken_part(message.role, part, target) {
                return Some(format!("message {index}: {problem}"));
            }
        }
    }
    None
}

fn fits(name: &str, rule: NameRule) -> bool {
    let plain = name.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character));
    !name.is_empty()
        && match rule {
            NameRule::Any => true,
            NameRule::Short { longest } => name.chars().count() <= longest,
            NameRule::Plain { longest } => plain && name.chars().count() <= longest,
        }
}

fn broken_part(role: Role, part: &Part, target: &Target) -> Option<String> {
    let is_foreign = |bag: &ProviderData| {
        bag.iter().any(|(provider, bag)| {
            let made_by = bag.get("model").and_then(Value::as_str);
            provider != "mine" || made_by.is_some_and(|model| !model.starts_with("model"))
        })
    };
    let extras = part.extras()?;
    if is_foreign(&extras.provider_metadata) || is_foreign(&extras.provider_options) {
        return Some(format!("{part:?} has a foreign bag"));
    }
    let is_allowed = match (role, part) {
        (Role::System | Role::User | Role::Assistant, Part::Text(text)) => !text.text.trim().is_empty(),
        (Role::User, Part::Image(image)) => {
            let is_web = matches!(&image.data, Data::Url(_));
            !target.user_files.is_empty() && image.media_type.is_some() && !is_web
        }
        (Role::User, Part::File(file)) => !target.user_files.is_empty() && !matches!(file.data, Data::Url(_)),
        (Role::Assistant, Part::Reasoning(reasoning)) => match target.reasoning {
            ReasoningRule::Own => !extras.provider_metadata.is_empty(),
            ReasoningRule::Any => !extras.provider_metadata.is_empty() || !reasoning.text.trim().is_empty(),
            ReasoningRule::None => false,
        },
        (Role::Assistant, Part::Custom(_)) => !extras.provider_metadata.is_empty(),
        (Role::Assistant, Part::ToolCall(_)) => true,
        (Role::Assistant, Part::ToolResult(_) | Part::ApprovalRequest(_)) => true,
        (Role::Tool, Part::ToolResult(_) | Part::ApprovalResponse(_)) => true,
        _ => false,
    };
    (!is_allowed).then(|| format!("a {} message has {part:?}", role.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_in_what_comes_out_keeps_the_rules_and_stays_as_it_is(
        messages in prop::collection::vec(message(), 0..8),
        target in target(),
    ) {
        let prepared = prepare(messages, &target).unwrap();
        prop_assert_eq!(broken_rule(&prepared.messages, &target), None);
        let again = prepare(prepared.messages.clone(), &target).unwrap();
        prop_assert_eq!(&again.messages, &prepared.messages);
        prop_assert_eq!(again.warnings, Vec::new());
    }
}
