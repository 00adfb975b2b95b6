//! `#[index(..)]`: what it says, and whether the record has what it names.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Field, Ident, Path, Token, Type, parenthesized};

use crate::attributes::{Keys, Version, value};
use crate::index::{Index, Part, Source};
use crate::names::{instead_of, is_stored_name};
use crate::report::Report;

/// The most parts that a key may have: the store has tuples up to this length.
const MAX_PARTS: usize = 8;

/// The functions that every table has: constants of these names would hide them.
const TAKEN: &[&str] = &["all", "table", "upgrade"];

/// An index as it is declared: `unique name(part, ..), when = path, version = 1`.
pub(crate) struct Declaration {
    pub(crate) name: Ident,
    unique: bool,
    parts: Vec<DeclaredPart>,
    pub(crate) when: Option<Path>,
    version: u32,
}

/// A field's name, or `name: Type = path`.
struct DeclaredPart {
    name: Ident,
    computed: Option<(Type, Path)>,
}

impl Declaration {
    pub(crate) fn parse(input: ParseStream<'_>, report: &mut Report) -> syn::Result<Self> {
        let first: Ident = input.parse()?;
        let unique = first == "unique" && input.peek(Ident);
        let name = if unique { input.parse()? } else { first };
        let parts;
        parenthesized!(parts in input);
        let parts = Punctuated::<_, Token![,]>::parse_terminated(&parts)?.into_iter().collect();
        let mut declared = Self { name, unique, parts, when: None, version: 1 };
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Keys::new(&["when", "version", "unique"]).read(input, report, |key, input| {
            match key.to_string().as_str() {
                "when" => declared.when = Some(value(input)?),
                "version" => declared.version = value::<Version>(input)?.0,
                _ => return Err(syn::Error::new(key.span(), "`unique` stands before the index's name")),
            }
            Ok(())
        })?;
        Ok(declared)
    }

    /// The index's name as text.
    pub(crate) fn name(&self) -> String {
        self.name.unraw().to_string()
    }

    /// Looks the parts up among the fields of `record`.
    pub(crate) fn resolve(self, record: &Ident, fields: &[&Field]) -> syn::Result<Index> {
        self.check_name()?;
        self.check_length()?;
        let parts = self.resolve_parts(record, fields)?;
        let Self { name, unique, when, version, .. } = self;
        Ok(Index { name, unique, parts, when, version })
    }

    fn check_name(&self) -> syn::Result<()> {
        let name = self.name();
        let message = if name == "id" {
            "an index cannot be called `id`: rows are found by their id without one".to_owned()
        } else if TAKEN.contains(&name.as_str()) {
            format!("an index cannot be called `{name}`: every table has a function of that name")
        } else if !is_stored_name(&name) {
            format!(
                "`{name}` cannot name an index: take lowercase letters, digits and `_`, a letter first, 60 at most"
            )
        } else {
            return Ok(());
        };
        Err(syn::Error::new(self.name.span(), message))
    }

    fn check_length(&self) -> syn::Result<()> {
        let name = self.name();
        if self.parts.is_empty() {
            let message = format!("index `{name}` needs a key part: a field of the record");
            return Err(syn::Error::new(self.name.span(), message));
        }
        let Some(extra) = self.parts.get(MAX_PARTS) else { return Ok(()) };
        let message =
            format!("index `{name}` has too many key parts: this one is beyond the {MAX_PARTS} allowed");
        Err(syn::Error::new(extra.name.span(), message))
    }

    /// Gives each part its type; the error tells of every part that has none.
    fn resolve_parts(&self, record: &Ident, fields: &[&Field]) -> syn::Result<Vec<Part>> {
        let mut report = Report::default();
        let mut parts: Vec<Part> = Vec::new();
        for declared in &self.parts {
            let part = declared.resolve(record, fields);
            let Some(part) = report.keep(part) else { continue };
            if parts.iter().any(|earlier| earlier.name == part.name) {
                let message = format!("`{}` is already a part of index `{}`", part.name, self.name());
                report.error(declared.name.span(), message);
            }
            parts.push(part);
        }
        report.into_result(parts)
    }
}

impl Parse for DeclaredPart {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if !input.peek(Token![:]) {
            return Ok(Self { name, computed: None });
        }
        input.parse::<Token![:]>()?;
        let ty = input.parse()?;
        Ok(Self { name, computed: Some((ty, value(input)?)) })
    }
}

impl DeclaredPart {
    fn resolve(&self, record: &Ident, fields: &[&Field]) -> syn::Result<Part> {
        let name = self.name.unraw().to_string();
        if let Some((ty, path)) = self.computed.clone() {
            return Ok(Part { name, ty, source: Source::Computed(path) });
        }
        let mut names = Vec::new();
        for field in fields {
            let Some(field_name) = &field.ident else { continue };
            if field_name.unraw() == name {
                return Ok(Part { name, ty: field.ty.clone(), source: Source::Field(field_name.clone()) });
            }
            names.push(field_name.unraw().to_string());
        }
        let message = format!("`{record}` has no field `{name}`; {}", instead_of(&name, &names));
        Err(syn::Error::new(self.name.span(), message))
    }
}
