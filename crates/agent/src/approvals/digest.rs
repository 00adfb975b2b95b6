//! What an approval is bound to.

use loomwork_files::Hash;
use serde_json::Value;

/// Returns the digest of a tool and its arguments. The order of fields makes no difference.
///
/// ```
/// use loomwork_agent::approvals::digest;
/// use serde_json::json;
///
/// let asked = digest("refund", &json!({ "order": 7, "amount": 20 }));
/// assert_eq!(asked, digest("refund", &json!({ "amount": 20, "order": 7 })));
/// assert_ne!(asked, digest("refund", &json!({ "amount": 2_000, "order": 7 })));
/// ```
pub fn digest(tool: &str, input: &Value) -> Hash {
    let mut text = Value::from(tool).to_string();
    write(input, &mut text);
    Hash::of(text.as_bytes())
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (name, value) in fields {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}
