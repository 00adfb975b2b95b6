//! The list of thoughts that OpenRouter wants back as it sent it.

use serde_json::Value;

/// The fields that grow from piece to piece.
const GROWING: [&str; 3] = ["text", "summary", "data"];

/// Adds pieces: one that continues the last item grows it, any other is an item of its own.
pub(super) fn merge(items: &mut Vec<Value>, pieces: Vec<Value>) {
    for piece in pieces {
        match items.last_mut().filter(|last| continues(last, &piece)) {
            Some(last) => grow(last, piece),
            None => items.push(piece),
        }
    }
}

/// Whether a piece goes on with an item: they are of one type and at one place, and nothing says that
/// they are two.
fn continues(item: &Value, piece: &Value) -> bool {
    let same = |name: &str| item[name] == piece[name];
    let (item_id, piece_id) = (&item["id"], &piece["id"]);
    piece["index"].is_u64()
        && same("type")
        && same("index")
        && (item_id.is_null() || piece_id.is_null() || item_id == piece_id)
}

fn grow(item: &mut Value, piece: Value) {
    let (Value::Object(item), Value::Object(piece)) = (item, piece) else { return };
    for (name, value) in piece {
        match (item.get_mut(&name), value) {
            (Some(Value::String(text)), Value::String(more)) if GROWING.contains(&name.as_str()) => {
                text.push_str(&more);
            }
            (Some(known), Value::Null) if !known.is_null() => {}
            (_, value) => drop(item.insert(name, value)),
        }
    }
}
