use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "users", id = "user")]
struct User {
    id: u64,
    name: String,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "teams", id = "team")]
#[index(id(name))]
struct Team {
    name: String,
}

fn main() {}
