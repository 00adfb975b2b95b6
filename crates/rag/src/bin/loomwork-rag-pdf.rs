//! Reads a PDF file for `loomwork_rag::pdf`, within bounds; of no use by itself.

fn main() {
    loomwork_rag::pdf::serve();
}
