//! `#[derive(Table)]`: from the record's attributes to its `Table` implementation.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Field, Fields, FieldsNamed, Ident, Path};

use crate::declaration::Declaration;
use crate::index::{Index, local};
use crate::names::instead_of;
use crate::options::Options;
use crate::report::Report;

/// Writes the implementation even where something is wrong with the attributes: code that uses
/// the table then hears of that once, and not that there is no table.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut report = Report::default();
    let expansion = Table::new(input, &mut report).map(|table| table.expand());
    let errors = report.into_tokens();
    quote!(#errors #expansion)
}

/// A record type and all that its attributes say.
struct Table<'a> {
    input: &'a DeriveInput,
    options: Options,
    indexes: Vec<Index>,
}

impl<'a> Table<'a> {
    fn new(input: &'a DeriveInput, report: &mut Report) -> Option<Self> {
        let fields = report.keep(fields(input))?;
        let options = Options::read(input, report);
        let declarations = declarations(&input.attrs, report);
        if let Some(clustered) = &options.clustered {
            report.keep(check_clustered(clustered, &declarations));
        }
        let index = |declared: Declaration| report.keep(declared.resolve(&input.ident, &fields));
        let indexes = declarations.into_iter().filter_map(index).collect();
        Some(Self { input, options, indexes })
    }

    fn expand(&self) -> TokenStream {
        let Self { input, options, indexes } = self;
        let Options { name, id, version, codec, feed, krate, .. } = options;
        let record = &input.ident;
        let layout = self.layout();
        let definitions = indexes.iter().map(|index| index.definition(krate));
        let constants = (0..).zip(indexes).map(|(number, index)| index.constant(number, &input.vis, krate));
        let upgrade = options.upgrade.as_ref().map(|path| upgrade(path, krate));
        quote! {
            #[automatically_derived]
            #[allow(unused_qualifications)]
            impl #krate::Table for #record {
                const NAME: &'static str = #name;
                const ID: &'static str = #id;
                const VERSION: u32 = #version;
                const CODEC: #krate::Codec = #krate::Codec::#codec;
                const LAYOUT: #krate::Layout = #layout;
                const FEED: bool = #feed;
                const INDEXES: &'static [#krate::IndexDef<Self>] = &[#(#definitions),*];

                #upgrade
            }

            #[allow(
                dead_code,
                non_upper_case_globals,
                private_interfaces,
                unreachable_pub,
                unused_qualifications
            )]
            impl #record {
                #(#constants)*
            }
        }
    }

    fn layout(&self) -> TokenStream {
        let krate = &self.options.krate;
        let clustered = self.options.clustered.as_ref().map(|index| index.unraw().to_string());
        let number = (0_u16..).zip(&self.indexes).find(|(_, index)| Some(index.name()) == clustered);
        match number {
            Some((number, _)) => quote!(#krate::Layout::ClusteredBy(#number)),
            None => quote!(#krate::Layout::ById),
        }
    }
}

fn upgrade(path: &Path, krate: &Path) -> TokenStream {
    let (from, old) = (local("from"), local("old"));
    let upgraded = quote_spanned!(path.span()=> #path(#from, #old));
    quote! {
        fn upgrade(#from: u32, #old: #krate::Old<'_>) -> #krate::Result<Self> {
            #upgraded
        }
    }
}

fn named(fields: &FieldsNamed) -> syn::Result<Vec<&Field>> {
    let own_id = fields.named.iter().find_map(|field| field.ident.as_ref().filter(|name| *name == "id"));
    let message = "a record has no field `id`: every row has an id of its own; call it what it identifies";
    own_id.map_or(Ok(()), |name| Err(syn::Error::new(name.span(), message)))?;
    Ok(fields.named.iter().collect())
}

fn fields(input: &DeriveInput) -> syn::Result<Vec<&Field>> {
    let record = &input.ident;
    if !input.generics.params.is_empty() {
        let message =
            format!("`{record}` cannot be a table: a table stores one type, so its record has no generics");
        return Err(syn::Error::new_spanned(&input.generics, message));
    }
    let found = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return named(fields),
            Fields::Unnamed(_) => "a tuple struct",
            Fields::Unit => "a struct without fields",
        },
        Data::Enum(_) => "an enum",
        Data::Union(_) => "a union",
    };
    let message =
        format!("`{record}` cannot be a table: it is {found}, and a record is a struct with named fields");
    Err(syn::Error::new(record.span(), message))
}

fn declarations(attributes: &[Attribute], report: &mut Report) -> Vec<Declaration> {
    let mut declarations: Vec<Declaration> = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("index")) {
        let declared = attribute.parse_args_with(|input: ParseStream<'_>| Declaration::parse(input, report));
        let Some(declared) = report.keep(declared) else { continue };
        if declarations.iter().any(|earlier| earlier.name() == declared.name()) {
            let message = format!("there is already an index `{}`", declared.name());
            report.error(declared.name.span(), message);
        } else {
            declarations.push(declared);
        }
    }
    declarations
}

/// Rows can only lie in the order of an index that has them all.
fn check_clustered(clustered: &Ident, declarations: &[Declaration]) -> syn::Result<()> {
    let wanted = clustered.unraw().to_string();
    let message = match declarations.iter().find(|declared| declared.name() == wanted) {
        Some(declared) if declared.when.is_some() => {
            format!(
                "index `{wanted}` leaves rows out by its `when`; cluster by an index that holds every row"
            )
        }
        Some(_) => return Ok(()),
        None => {
            let names: Vec<_> = declarations.iter().map(Declaration::name).collect();
            format!("no index `{wanted}` to cluster by; {}", instead_of(&wanted, &names))
        }
    };
    Err(syn::Error::new(clustered.span(), message))
}
