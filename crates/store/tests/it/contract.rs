//! The engine contract, on the in-memory engine as it is by default and at its strictest.

use loomwork_store::Memory;
use loomwork_testkit::engine_contract;

engine_contract!(memory, Memory::new());
engine_contract!(strict_memory, Memory::strict(7));
