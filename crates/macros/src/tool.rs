//! `#[tool]`: from an async function to a tool.

mod options;
mod signature;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, Ident, ItemFn, Lit, Meta, Path, ReturnType, Type, parse_quote};

use crate::index::local;
use crate::report::Report;
use options::{Options, is_tool_name};
use signature::{Argument, Context, Signature};

/// Where something is wrong, the name of the tool is still there, so that the places that use it don't
/// complain that there is none.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut report = Report::default();
    let options = Options::read(attribute, &mut report);
    let Some(function) = report.keep(syn::parse2::<ItemFn>(item.clone()).map_err(|_| not_a_function(&item)))
    else {
        let errors = report.into_tokens();
        return quote!(#errors #item);
    };
    let tool = Tool::new(function, options, &mut report);
    match report.into_result(()) {
        Ok(()) => {
            let (marker, call, conversion) = (tool.marker(), tool.call(), tool.conversion());
            quote!(#marker #call #conversion)
        }
        Err(errors) => {
            let errors = errors.into_compile_error();
            // Where a method stands, there is no place for a type.
            let marker = tool.function.sig.receiver().is_none().then(|| tool.marker());
            quote!(#errors #marker)
        }
    }
}

fn not_a_function(item: &TokenStream) -> syn::Error {
    syn::Error::new_spanned(item, "`#[tool]` goes on an async function")
}

/// A function and all that its attribute says.
struct Tool {
    function: ItemFn,
    signature: Signature,
    options: Options,
    name: String,
    description: String,
}

impl Tool {
    fn new(mut function: ItemFn, options: Options, report: &mut Report) -> Self {
        let signature = Signature::read(&mut function.sig, report);
        let ident = &function.sig.ident;
        let name = options.name.clone().unwrap_or_else(|| ident.unraw().to_string());
        if options.name.is_none() && !is_tool_name(&name) {
            let message = format!(
                "`{name}` cannot name a tool: give it another by `name`, of letters, digits, `_` and `-`, 64 at most"
            );
            report.error(ident.span(), message);
        }
        let description = description(&function.attrs);
        if description.is_empty() {
            let message = format!(
                "tool `{name}` needs a doc comment: it tells the model what it does and when to use it"
            );
            report.error(ident.span(), message);
        }
        Self { function, signature, options, name, description }
    }

    /// The type that stands for the tool.
    fn marker(&self) -> TokenStream {
        let ItemFn { attrs, vis, sig, .. } = &self.function;
        let attributes = attrs.iter().filter(|attribute| is_of_items(attribute));
        let ident = &sig.ident;
        quote! {
            #(#attributes)*
            #[allow(non_camel_case_types)]
            #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
            #vis struct #ident;
        }
    }

    /// The function itself, for code that calls it without a model.
    fn call(&self) -> TokenStream {
        let ItemFn { attrs, vis, sig, block, .. } = &self.function;
        let attributes = attrs.iter().filter(|attribute| !attribute.path().is_ident("doc"));
        let (ident, inputs, output) = (&sig.ident, &sig.inputs, &sig.output);
        quote! {
            impl #ident {
                /// Calls the function behind the tool.
                #(#attributes)*
                #[allow(clippy::unused_async)]
                #vis async fn call(#inputs) #output #block
            }
        }
    }

    /// What makes it a tool.
    fn conversion(&self) -> TokenStream {
        let Self { signature, options, name, description, .. } = self;
        let (ident, krate) = (&self.function.sig.ident, &options.krate);
        let (context, arguments) = (local("context"), local("arguments"));
        let (generics, state) = match &signature.context {
            Some(Context { state: Some(state), .. }) => (None, quote!(#state)),
            _ => {
                let bounds = quote!(::core::marker::Send + ::core::marker::Sync + 'static);
                (Some(quote!(<__State: #bounds>)), quote!(__State))
            }
        };
        let first = signature.context.as_ref().map(|own| own.passed(&context));
        let names = signature.arguments.iter().map(|argument| &argument.name);
        let passed = first.into_iter().chain(names.clone().map(ToTokens::to_token_stream));
        let declaration = declaration(&signature.arguments, krate);
        let output = self.output(&quote!(#ident::call(#(#passed),*).await));
        let settings = options.settings();
        quote! {
            #[allow(clippy::needless_update, unused_qualifications)]
            impl #generics #krate::IntoTool<#state> for #ident {
                fn into_tool(self) -> #krate::Tool<#state> {
                    #declaration

                    #krate::Tool::<#state>::new::<__ToolArguments, _, _>(
                        #name,
                        #description,
                        |#context: #krate::ToolContext<#state>, #arguments: __ToolArguments| async move {
                            let _ = &#context;
                            let __ToolArguments { #(#names),* } = #arguments;
                            #output
                        },
                    )
                    #settings
                }
            }
        }
    }

    /// Turns what the function returns into an output, named where it is written: a type that is none is
    /// reported there.
    fn output(&self, called: &TokenStream) -> TokenStream {
        let krate = &self.options.krate;
        match &self.function.sig.output {
            ReturnType::Type(_, ty) if !matches!(**ty, Type::ImplTrait(_)) => {
                let into = quote_spanned!(ty.span()=> <#ty as #krate::IntoToolOutput>::into_tool_output);
                quote!(#into(#called))
            }
            _ => quote!(#krate::IntoToolOutput::into_tool_output(#called)),
        }
    }
}

impl Context {
    /// The context as the function takes it.
    fn passed(&self, context: &Ident) -> TokenStream {
        let own = match self.state {
            Some(_) => quote!(#context),
            None => quote!(#context.without_state()),
        };
        if self.by_reference { quote!(&#own) } else { own }
    }
}

/// The type of the arguments.
fn declaration(arguments: &[Argument], krate: &Path) -> TokenStream {
    let (serde, schemars): (Path, Path) =
        (parse_quote!(#krate::__private::serde), parse_quote!(#krate::__private::schemars));
    let text = |path: &Path| path.to_token_stream().to_string().replace(' ', "");
    let (serde_text, schemars_text) = (text(&serde), text(&schemars));
    let fields = arguments.iter().map(|Argument { attributes, name, ty }| quote!(#(#attributes)* #name: #ty));
    quote! {
        #[derive(#serde::Deserialize, #schemars::JsonSchema)]
        #[serde(crate = #serde_text)]
        #[schemars(crate = #schemars_text)]
        struct __ToolArguments {
            #(#fields),*
        }
    }
}

/// What a doc comment says.
fn description(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let lines = attributes.iter().filter_map(line);
    let lines: Vec<_> =
        lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

/// Whether an attribute of the function says something of the tool too.
fn is_of_items(attribute: &Attribute) -> bool {
    ["doc", "cfg", "deprecated"].iter().any(|name| attribute.path().is_ident(name))
}
