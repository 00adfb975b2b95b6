//! Where the cache may be told to break.

use serde_json::Value;

use super::{Check, Field};

const MOST_BREAKPOINTS: usize = 4;

pub(super) fn check(body: &Field<'_>) -> Check {
    let mut found = Vec::new();
    // The cache's prefix has this order, and what stands at the top comes after all.
    for part in ["tools", "system", "messages"] {
        gather(&body.get(part), &mut found);
    }
    found.extend(Some(body.get("cache_control")).filter(Field::is_given));
    if found.len() > MOST_BREAKPOINTS {
        return Err(found[MOST_BREAKPOINTS].refusal(format!(
            "A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {}.",
            found.len()
        )));
    }
    let mut has_short = false;
    for breakpoint in &found {
        breakpoint.get("type").required_text()?;
        breakpoint.get("type").one_of(&["ephemeral"])?;
        breakpoint.get("ttl").one_of(&["5m", "1h"])?;
        let is_long = breakpoint.get("ttl").as_str() == Some("1h");
        if is_long && has_short {
            return Err(breakpoint.get("ttl").refusal(
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block",
            ));
        }
        has_short |= !is_long;
    }
    Ok(())
}

/// Gathers the breakpoints of blocks, and of the blocks within them.
fn gather<'a>(part: &Field<'a>, found: &mut Vec<Field<'a>>) {
    // Anything may stand in these, a schema or an input as well as a block.
    const OPAQUE: [&str; 2] = ["input", "input_schema"];
    match part.value {
        Value::Array(_) => part.items().unwrap_or_default().iter().for_each(|item| gather(item, found)),
        Value::Object(fields) => {
            for name in fields.keys().filter(|name| !OPAQUE.contains(&name.as_str())) {
                let field = part.get(name);
                if name == "cache_control" {
                    found.extend(Some(field).filter(Field::is_given));
                } else {
                    gather(&field, found);
                }
            }
        }
        _ => {}
    }
}
