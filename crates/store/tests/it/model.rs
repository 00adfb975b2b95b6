//! The store against a plain model of it.

use loomwork_store::Memory;
use loomwork_testkit::store::model_property;

#[test]
fn memory_does_what_the_model_does() {
    model_property(Memory::new);
}

#[test]
fn strict_memory_does_what_the_model_does() {
    model_property(|| Memory::strict(7));
}
