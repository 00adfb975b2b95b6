use loomwork_macros::tool;

/// Not async.
#[tool]
fn waits(text: String) {}

/// Generic.
#[tool]
async fn generic<T>(value: T) {}

/// Borrows.
#[tool]
async fn borrows(text: &str, any: impl Send) {}

/// Without a name.
#[tool]
async fn nameless((a, b): (u8, u8), _: u8) {}

/// The context is not first.
#[tool]
async fn late(text: String, ctx: ToolContext) {}

#[tool]
async fn silent(text: String) {}

/// A name that providers don't take.
#[tool]
async fn grüße() {}

/// No function.
#[tool]
struct Data {
    field: u8,
}

struct Owner;

impl Owner {
    /// A method.
    #[tool]
    async fn method(&self) {}
}

fn main() {}
