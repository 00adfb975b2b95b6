//! What an index becomes: the definition that makes its keys, and the constant that names it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Ident, Path, Type, Visibility};

/// An index whose parts are known.
pub(crate) struct Index {
    pub(crate) name: Ident,
    pub(crate) unique: bool,
    pub(crate) parts: Vec<Part>,
    pub(crate) when: Option<Path>,
    pub(crate) version: u32,
}

/// One part of a key.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) source: Source,
}

/// Where the value of a part comes from.
pub(crate) enum Source {
    Field(Ident),
    Computed(Path),
}

impl Index {
    /// The index's name as text.
    pub(crate) fn name(&self) -> String {
        self.name.unraw().to_string()
    }

    /// The `IndexDef` that makes the index's keys.
    pub(crate) fn definition(&self, krate: &Path) -> TokenStream {
        let (name, version, declared, unique) = (self.name(), self.version, self.declared(), self.unique);
        let (record, out, included) = (local("record"), local("out"), local("included"));
        let when = self.when.as_ref().map(|when| {
            let answer = quote_spanned!(when.span()=> #when(#record));
            quote! {
                let #included: bool = #answer;
                if !#included {
                    return ::core::result::Result::Ok(false);
                }
            }
        });
        let writes = self.parts.iter().map(|part| part.write(&record, &out, krate));
        quote! {
            #krate::IndexDef {
                name: #name,
                version: #version,
                declared: #declared,
                unique: #unique,
                key: |#record, #out| {
                    #when
                    #(#writes)*
                    ::core::result::Result::Ok(true)
                },
            }
        }
    }

    /// How the key is made, as far as names tell:
    /// `user: String, day: i64 = Visit::day; when Visit::is_human`.
    fn declared(&self) -> String {
        let part = |part: &Part| {
            let function = match &part.source {
                Source::Field(_) => String::new(),
                Source::Computed(path) => format!(" = {}", text(path)),
            };
            format!("{}: {}{function}", part.name, text(&part.ty))
        };
        let parts: Vec<_> = self.parts.iter().map(part).collect();
        let when = self.when.as_ref().map(|when| format!("; when {}", text(when)));
        parts.join(", ") + &when.unwrap_or_default()
    }

    /// The constant by which code names the index.
    pub(crate) fn constant(&self, number: u16, visibility: &Visibility, krate: &Path) -> TokenStream {
        let name = &self.name;
        let types = self.parts.iter().map(|part| &part.ty);
        let parts: Vec<_> = self.parts.iter().map(|part| format!("`{}`", part.name)).collect();
        let kind = if self.unique { "Unique index" } else { "Index" };
        let doc = format!("{kind} `{}` over ({}).", self.name(), parts.join(", "));
        quote! {
            #[doc = #doc]
            #visibility const #name: #krate::Index<Self, (#(#types,)*)> = #krate::Index::new(#number);
        }
    }
}

impl Part {
    /// The write names the part's type where the record does, so that a type that is no `Key` is
    /// reported there, and once however many indexes use it.
    fn write(&self, record: &Ident, out: &Ident, krate: &Path) -> TokenStream {
        let ty = &self.ty;
        let write = quote_spanned!(ty.span()=> <#ty as #krate::Key>::write);
        match &self.source {
            Source::Field(field) => quote!(#write(&#record.#field, #out)?;),
            Source::Computed(path) => {
                let part = local("part");
                let computed = quote_spanned!(path.span()=> #path(#record));
                quote! {
                    let #part: #ty = #computed;
                    #write(&#part, #out)?;
                }
            }
        }
    }
}

/// Code as text, whatever spaces the compiler puts in it.
fn text(code: &impl ToTokens) -> String {
    code.to_token_stream().to_string().split_whitespace().collect()
}

/// A variable of the expansion's own, which no path in an attribute can mean by accident.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
