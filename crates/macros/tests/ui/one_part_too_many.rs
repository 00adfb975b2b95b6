use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "wide", id = "wide")]
#[index(by_eight(a, b, c, d, e, f, g, h))]
#[index(by_nine(a, b, c, d, e, f, g, h, i))]
struct Wide {
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
}

fn main() {}
