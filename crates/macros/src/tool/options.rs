//! `#[tool(..)]`: what it says besides the function.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser};
use syn::{Ident, LitInt, LitStr, Path};

use crate::attributes::{Keys, crate_path, flag, value};
use crate::home;
use crate::report::Report;

const KEYS: &[&str] = &[
    "name",
    "title",
    "strict",
    "idempotent",
    "retries",
    "timeout",
    "concurrency",
    "needs_approval",
    "crate",
];

/// The longest name that providers take.
const MAX_NAME: usize = 64;

/// The units of time, and how many milliseconds each has.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// What `#[tool(..)]` says, and what holds where it says nothing.
pub(super) struct Options {
    pub(super) name: Option<String>,
    title: Option<String>,
    strict: bool,
    idempotent: bool,
    retries: Option<LitInt>,
    /// In milliseconds.
    timeout: Option<u64>,
    concurrency: Option<LitInt>,
    needs_approval: bool,
    pub(super) krate: Path,
}

impl Options {
    pub(super) fn read(attribute: TokenStream, report: &mut Report) -> Self {
        let mut options = Self {
            name: None,
            title: None,
            strict: false,
            idempotent: false,
            retries: None,
            timeout: None,
            concurrency: None,
            needs_approval: false,
            krate: home::of("agent"),
        };
        let mut keys = Keys::new(KEYS);
        let entries =
            |entries: ParseStream<'_>| keys.read(entries, report, |key, input| options.set(key, input));
        let read = entries.parse2(attribute);
        report.keep(read);
        if let Some(retries) = options.retries.as_ref().filter(|_| !keys.has("idempotent")) {
            let message = "`retries` needs `idempotent`: what may happen once only is never tried again";
            report.error(retries.span(), message);
        }
        options
    }

    fn set(&mut self, key: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
        match key.to_string().as_str() {
            "name" => self.name = Some(name(&value(input)?)?),
            "title" => self.title = Some(value::<LitStr>(input)?.value()),
            "strict" => self.strict = flag(key, input)?,
            "idempotent" => self.idempotent = flag(key, input)?,
            "retries" => self.retries = Some(positive(value(input)?)?),
            "timeout" => self.timeout = Some(milliseconds(&value(input)?)?),
            "concurrency" => self.concurrency = Some(positive(value(input)?)?),
            "needs_approval" => self.needs_approval = flag(key, input)?,
            _ => self.krate = crate_path(input)?,
        }
        Ok(())
    }

    /// The calls that set what is set.
    pub(super) fn settings(&self) -> TokenStream {
        let title = self.title.as_ref().map(|title| quote!(.with_title(#title)));
        let strict = self.strict.then(|| quote!(.with_strict(true)));
        let policy = self.policy();
        quote!(#title #strict #policy)
    }

    fn policy(&self) -> Option<TokenStream> {
        let krate = &self.krate;
        let idempotent = self.idempotent.then(|| quote!(idempotent: true));
        let retries = self.retries.as_ref().map(|retries| {
            let policy = quote!(#krate::__private::RetryPolicy);
            quote!(retries: #policy::default().with_attempts(1 + #retries))
        });
        let timeout = self.timeout.map(|millis| {
            quote!(timeout: ::core::option::Option::Some(::core::time::Duration::from_millis(#millis)))
        });
        let concurrency =
            self.concurrency.as_ref().map(|most| quote!(concurrency: ::core::option::Option::Some(#most)));
        let approval = self.needs_approval.then(|| quote!(needs_approval: #krate::Approval::Always));
        let set: Vec<_> =
            [idempotent, retries, timeout, concurrency, approval].into_iter().flatten().collect();
        let policy = quote!(#krate::ToolPolicy { #(#set,)* ..::core::default::Default::default() });
        (!set.is_empty()).then(|| quote!(.with_policy(#policy)))
    }
}

/// Whether providers take `text` as the name of a tool.
pub(super) fn is_tool_name(text: &str) -> bool {
    let inside = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(inside)
}

fn name(literal: &LitStr) -> syn::Result<String> {
    let name = literal.value();
    if is_tool_name(&name) {
        return Ok(name);
    }
    let message =
        format!("{name:?} cannot name a tool: take letters, digits, `_` and `-`, {MAX_NAME} at most");
    Err(syn::Error::new(literal.span(), message))
}

fn positive(literal: LitInt) -> syn::Result<LitInt> {
    match literal.base10_parse::<u32>()? {
        0 => Err(syn::Error::new(literal.span(), "it has to be at least 1; leave it out for none")),
        _ => Ok(literal),
    }
}

fn milliseconds(literal: &LitStr) -> syn::Result<u64> {
    let text = literal.value();
    let (digits, unit) =
        text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let length = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, length)| *length);
    let millis = digits.parse::<u64>().ok().zip(length).and_then(|(count, length)| count.checked_mul(length));
    millis.filter(|millis| *millis > 0).ok_or_else(|| {
        let message =
            format!("{text:?} is no time: write a number and `ms`, `s`, `m` or `h`, such as \"30s\"");
        syn::Error::new(literal.span(), message)
    })
}
