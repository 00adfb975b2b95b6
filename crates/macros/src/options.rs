//! `#[table(..)]`: the choices that a table makes.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{DeriveInput, Ident, LitStr, Path};

use crate::attributes::{Keys, Version, crate_path, flag, value};
use crate::home;
use crate::names::{instead_of, is_id_prefix, is_stored_name, list, snake_case};
use crate::report::Report;

const KEYS: &[&str] = &["name", "id", "version", "upgrade", "codec", "feed", "clustered", "crate"];

/// What `#[table(..)]` says, and what holds where it says nothing.
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) version: u32,
    pub(crate) upgrade: Option<Path>,
    pub(crate) codec: Ident,
    pub(crate) feed: bool,
    pub(crate) clustered: Option<Ident>,
    pub(crate) krate: Path,
}

impl Options {
    pub(crate) fn read(input: &DeriveInput, report: &mut Report) -> Self {
        let mut options = Self {
            name: String::new(),
            id: String::new(),
            version: 1,
            upgrade: None,
            codec: Ident::new("Json", Span::call_site()),
            feed: false,
            clustered: None,
            krate: home::of("store"),
        };
        let mut keys = Keys::new(KEYS);
        let mut place = input.ident.span();
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("table")) {
            place = attribute.path().span();
            let read = attribute.parse_args_with(|entries: ParseStream<'_>| {
                keys.read(entries, report, |key, input| options.set(key, input))
            });
            report.keep(read);
        }
        let missing = missing(&input.ident.unraw().to_string(), &keys);
        if !missing.is_empty() {
            let record = &input.ident;
            let message =
                format!("table `{record}` needs {}, or the like, in `#[table(..)]`", list(&missing));
            report.error(place, message);
        }
        options
    }

    fn set(&mut self, key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        match key.to_string().as_str() {
            "name" => self.name = table_name(&value(input)?)?,
            "id" => self.id = id_prefix(&value(input)?)?,
            "version" => self.version = value::<Version>(input)?.0,
            "upgrade" => self.upgrade = Some(value(input)?),
            "codec" => self.codec = codec(&value(input)?)?,
            "feed" => self.feed = flag(key, input)?,
            "clustered" => self.clustered = Some(value(input)?),
            _ => self.krate = crate_path(input)?,
        }
        Ok(())
    }
}

/// The required entries that are not there, as they might be.
fn missing(record: &str, keys: &Keys) -> Vec<String> {
    let name = snake_case(record);
    let id = name.replace('_', "");
    let entries = [("name", format!("name = \"{name}s\"")), ("id", format!("id = \"{id}\""))];
    entries.into_iter().filter(|(key, _)| !keys.has(key)).map(|(_, entry)| entry).collect()
}

fn table_name(literal: &LitStr) -> syn::Result<String> {
    let name = literal.value();
    if is_stored_name(&name) {
        return Ok(name);
    }
    let message = format!(
        "{name:?} cannot name a table: take lowercase letters, digits and `_`, a letter first, 60 at most"
    );
    Err(syn::Error::new(literal.span(), message))
}

fn id_prefix(literal: &LitStr) -> syn::Result<String> {
    let id = literal.value();
    if is_id_prefix(&id) {
        return Ok(id);
    }
    let message = format!(
        "ids cannot begin with {id:?}: take lowercase letters and digits, a letter first, 24 at most"
    );
    Err(syn::Error::new(literal.span(), message))
}

fn codec(name: &Ident) -> syn::Result<Ident> {
    match name.to_string().as_str() {
        "json" => Ok(Ident::new("Json", name.span())),
        "compact" => Ok(Ident::new("Compact", name.span())),
        other => {
            let message = format!("unknown codec `{other}`; {}", instead_of(other, &["json", "compact"]));
            Err(syn::Error::new(name.span(), message))
        }
    }
}
