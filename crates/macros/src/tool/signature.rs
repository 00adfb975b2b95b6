//! The function under `#[tool]`: its context, if it takes one, and its arguments.

use proc_macro2::Ident;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, GenericArgument, Pat, PatType, PathArguments, PathSegment, Type};

use crate::report::Report;

/// The type by which a function asks for its context.
const CONTEXT: &str = "ToolContext";

/// What of a parameter's attributes belongs to the arguments' type.
const OF_FIELDS: [&str; 3] = ["doc", "serde", "schemars"];

pub(super) struct Signature {
    pub(super) context: Option<Context>,
    pub(super) arguments: Vec<Argument>,
}

/// The first parameter, where it is the context.
pub(super) struct Context {
    pub(super) by_reference: bool,
    /// The state that it asks for; none fits any state.
    pub(super) state: Option<Type>,
}

/// An argument that the model gives.
pub(super) struct Argument {
    /// What describes it and says how it is read.
    pub(super) attributes: Vec<Attribute>,
    pub(super) name: Ident,
    pub(super) ty: Type,
}

impl Signature {
    /// Reads a signature, and takes from it the attributes that say something of arguments: a function cannot
    /// have them.
    pub(super) fn read(signature: &mut syn::Signature, report: &mut Report) -> Self {
        check(signature, report);
        let mut read = Self { context: None, arguments: Vec::new() };
        for (index, input) in signature.inputs.iter_mut().enumerate() {
            let parameter = match input {
                FnArg::Typed(parameter) => parameter,
                FnArg::Receiver(receiver) => {
                    report.error(
                        receiver.span(),
                        "a tool has no `self`: what it needs is in its `ToolContext`",
                    );
                    continue;
                }
            };
            match context(&parameter.ty) {
                Some(context) if index == 0 => read.context = Some(context),
                Some(_) => report.error(parameter.ty.span(), "the `ToolContext` comes first"),
                None => read.arguments.extend(report.keep(argument(parameter))),
            }
        }
        read
    }
}

fn check(signature: &syn::Signature, report: &mut Report) {
    if signature.asyncness.is_none() {
        report.error(signature.fn_token.span(), "a tool is an `async fn`");
    }
    if !signature.generics.params.is_empty() {
        let message = "a tool has no generics: a model calls one function";
        report.error(signature.generics.span(), message);
    }
}

/// Returns the context that a type is, if it is one.
fn context(ty: &Type) -> Option<Context> {
    let (ty, by_reference) = match ty {
        Type::Reference(reference) => (&*reference.elem, true),
        ty => (ty, false),
    };
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == CONTEXT)?;
    Some(Context { by_reference, state: state(last) })
}

fn state(context: &PathSegment) -> Option<Type> {
    let PathArguments::AngleBracketed(arguments) = &context.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    })
}

fn argument(parameter: &mut PatType) -> syn::Result<Argument> {
    let is_of_field = |attribute: &Attribute| OF_FIELDS.iter().any(|name| attribute.path().is_ident(name));
    let attributes = parameter.attrs.extract_if(.., |attribute| is_of_field(attribute)).collect();
    let Pat::Ident(pattern) = &*parameter.pat else {
        let message = "an argument of a tool needs a name: the model calls it so";
        return Err(syn::Error::new(parameter.pat.span(), message));
    };
    let borrowed = match &*parameter.ty {
        Type::Reference(_) => "borrowed",
        Type::ImplTrait(_) => "of no type of its own",
        _ => return Ok(Argument { attributes, name: pattern.ident.clone(), ty: (*parameter.ty).clone() }),
    };
    let name = &pattern.ident;
    let message = format!(
        "argument `{name}` is {borrowed}, and a call owns what the model wrote: take `String`, `Vec<..>` or the like"
    );
    Err(syn::Error::new(parameter.ty.span(), message))
}
