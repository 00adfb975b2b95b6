//! `#[derive(Key)]`: enums stored by name, and structs that stand for their one field.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DataEnum, DeriveInput, Field, Fields, Ident, LitStr, Member, Path, Variant};

use crate::attributes::{Keys, crate_path};
use crate::home;
use crate::names::snake_case;
use crate::report::Report;

/// Writes an implementation even for what cannot be a key: the places that use the type as one
/// then do not complain as well.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut report = Report::default();
    let krate = krate(&input.attrs, &mut report);
    let body = match report.keep(Shape::of(input)) {
        Some(Shape::Names(names)) => by_name(&input.ident, &names, &krate),
        Some(Shape::Field(member, field)) => by_field(&member, field, &krate),
        None => never(&krate),
    };
    let errors = report.into_tokens();
    let ty = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    quote! {
        #errors

        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #generics #krate::Key for #ty #arguments #conditions {
            #body
        }
    }
}

/// How a type is stored as a key part.
enum Shape<'a> {
    /// An enum: each variant as a text.
    Names(Vec<(&'a Ident, String)>),
    /// A struct: as its one field.
    Field(Member, &'a Field),
}

impl<'a> Shape<'a> {
    fn of(input: &'a DeriveInput) -> syn::Result<Self> {
        let name = &input.ident;
        if !input.generics.params.is_empty() {
            let message =
                format!("`{name}` is generic, which `derive(Key)` cannot do; write its `impl Key` instead");
            return Err(syn::Error::new_spanned(&input.generics, message));
        }
        let found = match &input.data {
            Data::Enum(data) if data.variants.is_empty() => "an enum without variants".to_owned(),
            Data::Enum(data) => return stored_names(data).map(Self::Names),
            Data::Struct(data) => match (data.fields.members().next(), data.fields.iter().next()) {
                (Some(member), Some(field)) if data.fields.len() == 1 => {
                    return Ok(Self::Field(member, field));
                }
                _ => format!("a struct with {} fields", data.fields.len()),
            },
            Data::Union(_) => "a union".to_owned(),
        };
        let message = format!(
            "`{name}` cannot be a key part: it is {found}, and a key part is an enum without fields or a struct with one"
        );
        Err(syn::Error::new(name.span(), message))
    }
}

fn by_name(ty: &Ident, names: &[(&Ident, String)], krate: &Path) -> TokenStream {
    let expected = ty.unraw().to_string();
    let variants: Vec<_> = names.iter().map(|(variant, _)| variant).collect();
    let names: Vec<_> = names.iter().map(|(_, name)| name).collect();
    quote! {
        fn write(&self, out: &mut ::std::vec::Vec<u8>) -> ::core::result::Result<(), #krate::KeyError> {
            let name = match self {
                #(Self::#variants => #names,)*
            };
            #krate::Key::write(&::std::string::String::from(name), out)
        }

        fn read(input: &mut &[u8]) -> ::core::result::Result<Self, #krate::KeyError> {
            let name = <::std::string::String as #krate::Key>::read(input)?;
            match name.as_str() {
                #(#names => ::core::result::Result::Ok(Self::#variants),)*
                _ => ::core::result::Result::Err(#krate::KeyError::Mismatch { expected: #expected }),
            }
        }
    }
}

fn by_field(member: &Member, field: &Field, krate: &Path) -> TokenStream {
    let ty = &field.ty;
    // Named where the struct names its field's type: a type that is no `Key` is reported there.
    let key = quote_spanned!(ty.span()=> <#ty as #krate::Key>);
    quote! {
        const NULLABLE: bool = #key::NULLABLE;

        fn write(&self, out: &mut ::std::vec::Vec<u8>) -> ::core::result::Result<(), #krate::KeyError> {
            #key::write(&self.#member, out)
        }

        fn read(input: &mut &[u8]) -> ::core::result::Result<Self, #krate::KeyError> {
            ::core::result::Result::Ok(Self { #member: #key::read(input)? })
        }
    }
}

fn never(krate: &Path) -> TokenStream {
    quote! {
        fn write(&self, _: &mut ::std::vec::Vec<u8>) -> ::core::result::Result<(), #krate::KeyError> {
            ::core::unreachable!()
        }

        fn read(_: &mut &[u8]) -> ::core::result::Result<Self, #krate::KeyError> {
            ::core::unreachable!()
        }
    }
}

/// Gives each variant the text that stands for it; the error tells of every variant without one.
fn stored_names(data: &DataEnum) -> syn::Result<Vec<(&Ident, String)>> {
    let mut report = Report::default();
    let mut names: Vec<(&Ident, String)> = Vec::new();
    for variant in &data.variants {
        let Some((span, name)) = report.keep(stored_name(variant)) else { continue };
        if let Some((earlier, _)) = names.iter().find(|(_, taken)| *taken == name) {
            report.error(span, format!("`{}` is stored as {name:?}, but so is `{earlier}`", variant.ident));
        }
        names.push((&variant.ident, name));
    }
    report.into_result(names)
}

/// The text that stands for a variant, and where it is written.
fn stored_name(variant: &Variant) -> syn::Result<(Span, String)> {
    let ident = &variant.ident;
    if !matches!(variant.fields, Fields::Unit) {
        let message = format!("`{ident}` has fields, and a key part has room for its name only");
        return Err(syn::Error::new(variant.fields.span(), message));
    }
    let mut attributes = key_attributes(&variant.attrs);
    let Some(attribute) = attributes.next() else {
        return Ok((ident.span(), snake_case(&ident.unraw().to_string())));
    };
    if let Some(second) = attributes.next() {
        return Err(syn::Error::new(second.path().span(), format!("`{ident}` has a stored name already")));
    }
    let literal: LitStr = attribute.parse_args()?;
    Ok((literal.span(), literal.value()))
}

fn krate(attributes: &[Attribute], report: &mut Report) -> Path {
    let mut krate = home::of("store");
    let mut keys = Keys::new(&["crate"]);
    for attribute in key_attributes(attributes) {
        let read = attribute.parse_args_with(|entries: ParseStream<'_>| {
            keys.read(entries, report, |_, input| {
                krate = crate_path(input)?;
                Ok(())
            })
        });
        report.keep(read);
    }
    krate
}

fn key_attributes(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("key"))
}
