//! `loomwork run NAME JSON`: the application's own functions.

use std::io::Read as _;

use loomwork_core::Kind;
use serde_json::Value;

use super::door::{Args, Door};
use super::output::Output;
use super::{follow, show};
use crate::error::{Error, Result};

/// Calls a function, or lists them.
pub(crate) async fn call(
    door: &Door,
    out: &Output,
    name: Option<&str>,
    args: Option<&str>,
    is_followed: bool,
) -> Result<()> {
    let functions = door.functions().await?;
    let Some(name) = name else {
        list(out, &functions);
        return Ok(());
    };
    let id = find(&functions, name)?;
    let args = args_of(args)?;
    if is_followed {
        return follow(door, out, &id, args).await;
    }
    let answer = door.ask(&id, args).await?;
    show::answer(out, &id, &answer);
    Ok(())
}

fn list(out: &Output, functions: &[String]) {
    let named: Vec<_> = functions
        .iter()
        .filter_map(|id| id.split_once('.'))
        .map(|(kind, name)| serde_json::json!({ "name": name, "kind": kind }))
        .collect();
    show::answer(out, "functions", &Value::from(named));
}

/// Returns the id of a function: `query.ideas.of` of `ideas.of`.
fn find(functions: &[String], name: &str) -> Result<String> {
    let of_name: Vec<_> = functions
        .iter()
        .filter(|id| *id == name || id.split_once('.').is_some_and(|(_, of)| of == name))
        .collect();
    match of_name.as_slice() {
        [id] => Ok((*id).clone()),
        [] => {
            let known: Vec<_> = functions.iter().filter_map(|id| Some(id.split_once('.')?.1)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Error::new(Kind::NotFound, format!("the app has no function {name:?}; it has {known}")))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|id| id.as_str()).collect();
            let message = format!("{name:?} names several functions; say {}", ids.join(" or "));
            Err(Error::new(Kind::Invalid, message))
        }
    }
}

/// Reads the arguments: an object, from standard input where they are `-`.
fn args_of(text: Option<&str>) -> Result<Args> {
    let mut read = String::new();
    let text = match text {
        None => return Ok(Args::new()),
        Some("-") => {
            let input = std::io::stdin().read_to_string(&mut read);
            input.map_err(|error| {
                Error::new(Kind::Invalid, format!("standard input cannot be read: {error}"))
            })?;
            read.as_str()
        }
        Some(text) => text,
    };
    match serde_json::from_str(text) {
        Ok(Value::Object(args)) => Ok(args),
        Ok(_) => {
            Err(Error::new(Kind::Invalid, "the arguments are JSON, but no object; write `{\"name\": value}`"))
        }
        Err(error) => Err(Error::new(Kind::Invalid, format!("the arguments are no JSON: {error}"))),
    }
}
