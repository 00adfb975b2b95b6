//! What has been read and waits to be handed on.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use super::source;
use crate::history::MADE_BY;
use crate::tokens::Reckoning;
use crate::{Chunk, Extras, ModelName, Part, PartKind, PartNumber, ProviderData};

/// The chunks that wait, and what they add up to.
#[derive(Debug)]
pub(super) struct Output {
    name: ModelName,
    pub(super) chunks: VecDeque<Chunk>,
    pub(super) reckoning: Reckoning,
    next_part: PartNumber,
    next_source: u32,
    /// Whether the program has to run a tool.
    pub(super) has_calls: bool,
    pub(super) has_refused: bool,
    /// How often the provider ran which of its tools.
    pub(super) server_tools: BTreeMap<String, u64>,
}

impl Output {
    pub(super) fn new(name: ModelName, reckoning: Reckoning) -> Self {
        Self {
            name,
            chunks: VecDeque::new(),
            reckoning,
            next_part: 0,
            next_source: 0,
            has_calls: false,
            has_refused: false,
            server_tools: BTreeMap::new(),
        }
    }

    pub(super) fn start(&mut self, kind: PartKind, bag: Map<String, Value>) -> PartNumber {
        let part = self.next_part;
        self.next_part += 1;
        let provider_metadata = self.metadata(bag);
        self.chunks.push_back(Chunk::PartStart { part, kind, provider_metadata });
        part
    }

    pub(super) fn delta(&mut self, part: PartNumber, delta: String) {
        if !delta.is_empty() {
            self.reckoning.came(&delta);
            self.chunks.push_back(Chunk::PartDelta { part, delta });
        }
    }

    pub(super) fn end(&mut self, part: PartNumber, bag: Map<String, Value>) {
        let provider_metadata = self.metadata(bag);
        self.chunks.push_back(Chunk::PartEnd { part, provider_metadata });
    }

    pub(super) fn part(&mut self, part: Part) {
        self.chunks.push_back(Chunk::Part { part });
    }

    pub(super) fn count_server_tool(&mut self, name: &str) {
        *self.server_tools.entry(name.to_owned()).or_default() += 1;
    }

    /// Adds the source that an annotation names, if it names one.
    pub(super) fn source(&mut self, annotation: &Value) {
        if let Some((mut source, bag)) = source::source(annotation, self.next_source) {
            self.next_source += 1;
            source.extras = self.extras(bag);
            self.part(Part::Source(source));
        }
    }

    /// Returns a bag as the provider's own, with the model that filled it; an empty one stays away.
    pub(super) fn metadata(&self, mut bag: Map<String, Value>) -> ProviderData {
        if bag.is_empty() {
            return ProviderData::new();
        }
        bag.insert(MADE_BY.to_owned(), self.name.model.as_str().into());
        ProviderData::from_iter([(self.name.provider.clone(), bag.into())])
    }

    pub(super) fn extras(&self, bag: Map<String, Value>) -> Extras {
        Extras { provider_metadata: self.metadata(bag), ..Extras::default() }
    }

    pub(super) fn provider(&self) -> &str {
        &self.name.provider
    }
}
