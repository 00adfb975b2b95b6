//! The grammar that the attributes share: `key` or `key = value`, separated by commas.

use proc_macro2::TokenTree;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitInt, Path, Token};

use crate::names::instead_of;
use crate::report::Report;

/// The keys of an attribute: those it may have, and those met so far.
pub(crate) struct Keys {
    known: &'static [&'static str],
    met: Vec<String>,
}

impl Keys {
    pub(crate) fn new(known: &'static [&'static str]) -> Self {
        Self { known, met: Vec::new() }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.met.iter().any(|met| met == key)
    }

    /// Reads entries to the end of `input` and hands each key to `set`, which reads the value.
    /// An entry that is wrong is reported, and the next one is read.
    pub(crate) fn read(
        &mut self,
        input: ParseStream<'_>,
        report: &mut Report,
        mut set: impl FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
    ) -> syn::Result<()> {
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            let entry = self.meet(&key).and_then(|()| set(&key, input));
            if report.keep(entry).is_none() {
                skip_entry(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    fn meet(&mut self, key: &Ident) -> syn::Result<()> {
        let name = key.to_string();
        if !self.known.contains(&name.as_str()) {
            let message = format!("unknown key `{name}`; {}", instead_of(&name, self.known));
            return Err(syn::Error::new(key.span(), message));
        }
        if self.has(&name) {
            return Err(syn::Error::new(key.span(), format!("`{name}` is given twice")));
        }
        self.met.push(name);
        Ok(())
    }
}

fn skip_entry(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// Reads `= value`.
pub(crate) fn value<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// Reads the nothing behind a key that is its own value.
pub(crate) fn flag(key: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
    if input.peek(Token![=]) {
        return Err(input.error(format!("`{key}` takes no value: it is there or not")));
    }
    Ok(true)
}

/// Reads `= path`, where the path may begin with `crate`.
pub(crate) fn crate_path(input: ParseStream<'_>) -> syn::Result<Path> {
    input.parse::<Token![=]>()?;
    input.call(Path::parse_mod_style)
}

/// A version: a whole number from 1.
pub(crate) struct Version(pub(crate) u32);

impl Parse for Version {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let literal: LitInt = input.parse()?;
        match literal.base10_parse()? {
            0 => Err(syn::Error::new(literal.span(), "versions begin at 1")),
            version => Ok(Self(version)),
        }
    }
}
