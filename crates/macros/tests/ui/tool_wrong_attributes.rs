use loomwork_macros::tool;

/// Has keys that are none.
#[tool(nam = "a", idempotent = true, name = "b", name = "c")]
async fn keys() {}

/// Has values that are none.
#[tool(name = "two words", timeout = "soon", concurrency = 0)]
async fn values() {}

/// Is tried again and must not be.
#[tool(retries = 2)]
async fn repeats() {}

fn main() {}
