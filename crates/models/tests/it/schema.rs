//! Strict schemas, and the way back.

use loomwork_models::{drop_filler_nulls, strict_schema};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Checks what a property's schema becomes.
fn property(schema: &Value, is_required: bool) -> Value {
    let required = if is_required { json!(["it"]) } else { json!([]) };
    let root = json!({ "type": "object", "properties": { "it": schema }, "required": required });
    strict_schema(&root).expect("it can be strict")["properties"]["it"].clone()
}

/// Checks where a schema cannot be strict, and what the error says.
fn refused(schema: &Value, path: &str, words: &str) {
    let error = strict_schema(schema).expect_err("it cannot be strict");
    assert_eq!(error.path, path, "{error}");
    assert!(error.problem.contains(words), "{error}");
    assert!(error.to_string().contains(path), "{error}");
}

#[test]
fn what_strict_mode_does_not_know_is_dropped() {
    let schema = json!({ "type": "string", "title": "It", "default": "x", "examples": ["x"], "minLength": 1, "format": "uri", "x-order": 1, "description": "It.", "pattern": "^a" });
    assert_eq!(property(&schema, true), json!({ "type": "string", "description": "It.", "pattern": "^a" }));
    assert_eq!(property(&json!({ "type": "string", "format": "date-time" }), true)["format"], "date-time");
    let numbers = json!({ "type": "integer", "format": "uint32", "minimum": 0 });
    assert_eq!(property(&numbers, true), json!({ "type": "integer", "minimum": 0 }));
}

#[test]
fn properties_that_are_named_like_keywords_stay() {
    let schema = json!({
        "type": "object",
        "properties": { "title": { "type": "string" }, "default": { "type": "string" }, "not": { "type": "string" } },
        "required": ["title", "default", "not"],
    });
    assert_eq!(property(&schema, true)["properties"].as_object().unwrap().len(), 3);
}

#[test]
fn optional_properties_may_be_null() {
    let cases = [
        (json!({ "type": "string" }), json!({ "type": ["string", "null"] })),
        (json!({ "type": ["string", "integer"] }), json!({ "type": ["string", "integer", "null"] })),
        (json!({ "type": ["string", "null"] }), json!({ "type": ["string", "null"] })),
        (
            json!({ "type": "string", "enum": ["a"] }),
            json!({ "type": ["string", "null"], "enum": ["a", null] }),
        ),
        (json!({ "const": "a" }), json!({ "anyOf": [{ "const": "a" }, { "type": "null" }] })),
        (json!({ "$ref": "#/$defs/A" }), json!({ "anyOf": [{ "$ref": "#/$defs/A" }, { "type": "null" }] })),
        (
            json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] }),
            json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }, { "type": "null" }] }),
        ),
        (
            json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
            json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
        ),
    ];
    for (schema, optional) in cases {
        assert_eq!(property(&schema, false), optional);
        assert_eq!(property(&schema, true), schema);
    }
}

#[test]
fn branches_that_exclude_each_other_are_any_of() {
    let schema =
        json!({ "oneOf": [{ "const": "a", "title": "A" }, { "const": "b" }], "description": "Which." });
    assert_eq!(
        property(&schema, true),
        json!({ "anyOf": [{ "const": "a" }, { "const": "b" }], "description": "Which." })
    );
}

#[test]
fn definitions_are_kept_made_strict_and_found_under_their_older_name() {
    let schema = json!({
        "type": "object",
        "properties": { "root": { "$ref": "#/definitions/Node", "description": "The root." } },
        "required": ["root"],
        "definitions": {
            "Node": {
                "type": "object",
                "properties": { "children": { "type": "array", "items": { "$ref": "#/definitions/Node" } } },
                "required": ["children"],
            },
        },
    });
    assert_eq!(
        strict_schema(&schema).unwrap(),
        json!({
            "type": "object",
            "required": ["root"],
            "properties": { "root": { "description": "The root.", "anyOf": [{ "$ref": "#/$defs/Node" }] } },
            "additionalProperties": false,
            "$defs": {
                "Node": {
                    "type": "object",
                    "required": ["children"],
                    "properties": { "children": { "type": "array", "items": { "$ref": "#/$defs/Node" } } },
                    "additionalProperties": false,
                },
            },
        })
    );
}

#[test]
fn a_root_that_refers_to_a_definition_becomes_it() {
    let schema = json!({
        "$ref": "#/$defs/A",
        "$defs": { "A": { "type": "object", "properties": { "next": { "$ref": "#/$defs/A" } } } },
    });
    let strict = strict_schema(&schema).unwrap();
    assert_eq!(strict["type"], "object");
    assert_eq!(
        strict["properties"]["next"],
        json!({ "anyOf": [{ "$ref": "#/$defs/A" }, { "type": "null" }] })
    );
    assert_eq!(strict["required"], json!(["next"]));
}

#[test]
fn a_tool_without_arguments_is_an_empty_closed_object() {
    let closed = json!({ "type": "object", "required": [], "properties": {}, "additionalProperties": false });
    for schema in [json!({ "type": "object" }), json!({ "type": "object", "properties": {} })] {
        assert_eq!(strict_schema(&schema).unwrap(), closed);
    }
}

#[test]
fn a_lone_schema_in_all_of_is_that_schema() {
    let schema = json!({ "allOf": [{ "$ref": "#/$defs/A" }], "default": {} });
    assert_eq!(property(&schema, true), json!({ "$ref": "#/$defs/A" }));
}

#[test]
fn what_cannot_be_strict_is_refused_by_its_path() {
    let with = |schema: Value| json!({ "type": "object", "properties": { "a": { "type": "array", "items": schema } } });
    let path = |end: &str| format!("#/properties/a/items{end}");
    let map = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    refused(&with(map), &path("/additionalProperties"), "open map");
    refused(&with(json!({ "type": "object" })), &path(""), "open map");
    refused(&with(json!(true)), &path(""), "any kind");
    refused(&with(json!({})), &path(""), "any kind");
    refused(&with(json!({ "description": "Anything." })), &path(""), "any kind");
    refused(&with(json!(false)), &path(""), "cannot exist");
    refused(&with(json!(7)), &path(""), "no schema");
    refused(&with(json!({ "prefixItems": [] })), &path("/prefixItems"), "tuple");
    refused(&with(json!({ "patternProperties": {} })), &path("/patternProperties"), "open map");
    refused(&with(json!({ "not": {} })), &path("/not"), "negation");
    refused(&with(json!({ "allOf": [{}, {}] })), &path("/allOf"), "mixture");
    refused(&with(json!({ "$ref": "https://example.com/a" })), &path("/$ref"), "elsewhere");
    refused(&with(json!({ "anyOf": [{ "type": "string" }, {}] })), &path("/anyOf/1"), "any kind");
    refused(&json!({ "type": "array" }), "#", "root");
    refused(&json!({ "anyOf": [{ "type": "object" }] }), "#", "root");
    refused(&json!({ "$ref": "#/$defs/Missing" }), "#", "not defined");
    refused(&json!({ "$ref": "#/$defs/A", "$defs": { "A": { "$ref": "#/$defs/A" } } }), "#", "root");
    let slash = json!({ "type": "object", "properties": { "a/b~c": true } });
    refused(&slash, "#/properties/a~1b~0c", "any kind");
}

#[test]
fn schemas_of_rust_types_pass() {
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Order {
        /// Who orders.
        customer: String,
        items: Vec<Item>,
        note: Option<String>,
        #[serde(default)]
        count: u32,
        way: Way,
    }
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Item {
        name: String,
        parts: Vec<Item>,
    }
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    #[serde(tag = "kind")]
    enum Way {
        Post { address: String },
        Pickup,
    }
    let schema = schemars::schema_for!(Order).to_value();
    let strict = strict_schema(&schema).unwrap();
    assert_eq!(strict["required"], json!(["customer", "items", "note", "count", "way"]));
    assert_eq!(strict["properties"]["count"]["type"], json!(["integer", "null"]));
    assert_eq!(strict_schema(&strict).unwrap(), strict);
    let mut order =
        json!({ "customer": "Ada", "items": [], "note": null, "count": null, "way": { "kind": "Pickup" } });
    drop_filler_nulls(&schema, &mut order);
    assert_eq!(order, json!({ "customer": "Ada", "items": [], "note": null, "way": { "kind": "Pickup" } }));
}

#[test]
fn only_nulls_that_the_schema_does_not_admit_are_taken_out() {
    let schema = json!({
        "type": "object",
        "properties": {
            "filler": { "type": "integer" },
            "own": { "type": ["integer", "null"] },
            "demanded": { "type": "integer" },
            "list": { "type": "array", "items": { "$ref": "#/$defs/Node" } },
            "either": { "anyOf": [
                { "type": "object", "properties": { "kind": { "const": "a" }, "x": { "type": ["string", "null"] } }, "required": ["kind"] },
                { "type": "object", "properties": { "kind": { "const": "b" }, "x": { "type": "string" } }, "required": ["kind"] },
            ] },
        },
        "required": ["demanded"],
        "$defs": { "Node": { "type": "object", "properties": { "next": { "$ref": "#/$defs/Node" } } } },
    });
    let read = |mut value: Value| {
        drop_filler_nulls(&schema, &mut value);
        value
    };
    let given = json!({ "filler": null, "own": null, "demanded": null, "stranger": null });
    assert_eq!(read(given), json!({ "own": null, "demanded": null, "stranger": null }));
    let given = json!({ "list": [{ "next": { "next": null } }, { "next": null }] });
    assert_eq!(read(given), json!({ "list": [{ "next": {} }, {}] }));
    assert_eq!(
        read(json!({ "either": { "kind": "a", "x": null } })),
        json!({ "either": { "kind": "a", "x": null } })
    );
    assert_eq!(read(json!({ "either": { "kind": "b", "x": null } })), json!({ "either": { "kind": "b" } }));
    assert_eq!(read(json!("no object")), json!("no object"));
}

#[test]
fn schemas_that_go_in_circles_end() {
    let schema = json!({ "$ref": "#/$defs/A", "$defs": { "A": { "anyOf": [{ "$ref": "#/$defs/A" }, { "$ref": "#" }] } } });
    let mut value = json!({ "a": null });
    drop_filler_nulls(&schema, &mut value);
    assert_eq!(value, json!({ "a": null }));
    strict_schema(&schema).unwrap_err();
}

/// Any schema of objects, lists and plain values, with properties that are required or not.
fn schemas() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![Just("string"), Just("integer"), Just("boolean")];
    let leaf = plain.prop_map(|kind| json!({ "type": kind }));
    let nested = leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
            proptest::collection::btree_map("[a-d]", (inner, any::<bool>()), 0..4)
                .prop_map(|fields| object(&fields)),
        ]
    });
    proptest::collection::btree_map("[a-d]", (nested, any::<bool>()), 0..4).prop_map(|fields| object(&fields))
}

fn object(fields: &std::collections::BTreeMap<String, (Value, bool)>) -> Value {
    let properties: serde_json::Map<_, _> =
        fields.iter().map(|(name, (schema, _))| (name.clone(), schema.clone())).collect();
    let required: Vec<_> =
        fields.iter().filter(|(_, (_, required))| *required).map(|(name, _)| name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// A value that fits a schema; every optional property is missing.
fn least(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_owned(), least(&schema["properties"][name]))).collect()
        }
        Some("array") => json!([least(&schema["items"])]),
        Some("integer") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("text"),
    }
}

/// The same value as strict mode has it: every missing property is null.
fn filled(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let fill = |(name, schema): (&String, &Value)| {
                (name.clone(), fields.get(name).map_or(Value::Null, |value| filled(schema, value)))
            };
            properties.map(fill).collect()
        }
        Value::Array(items) => items.iter().map(|item| filled(&schema["items"], item)).collect(),
        value => value.clone(),
    }
}

proptest! {
    #[test]
    fn what_strict_mode_fills_in_fits_the_strict_schema_and_is_taken_out_again(schema in schemas()) {
        let strict = strict_schema(&schema).unwrap();
        let value = least(&schema);
        let mut sent = filled(&schema, &value);
        prop_assert!(jsonschema::is_valid(&strict, &sent), "{sent} does not fit {strict}");
        drop_filler_nulls(&schema, &mut sent);
        prop_assert_eq!(sent, value);
    }
}
