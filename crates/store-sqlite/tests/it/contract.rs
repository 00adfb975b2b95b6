//! The engine contract.

use loomwork_testkit::engine_contract;

use crate::place::TempFile;

engine_contract!(sqlite, TempFile::new());
