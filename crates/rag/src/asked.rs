//! Texts that a model is asked for right now, so that nobody else asks for them too.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// A vector, once it is there.
pub(crate) type Awaited = watch::Receiver<Option<Vec<f32>>>;

/// Which text: its namespace with the index, and its digest.
type Key = (String, String);

/// The texts that are being embedded by one knowledge base.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<Mutex<HashMap<Key, Awaited>>>);

/// Texts that somebody has taken to embed. Others wait for their vectors; if it is dropped without them, or when
/// they are in the store, others may take the texts.
#[derive(Default)]
pub(crate) struct Taken {
    asked: Asked,
    space: String,
    texts: HashMap<String, watch::Sender<Option<Vec<f32>>>>,
}

impl fmt::Debug for Taken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} texts of {}", self.texts.len(), self.space)
    }
}

impl Asked {
    /// Takes the texts that nobody has taken, and returns what to wait for of the others.
    pub(crate) fn take(
        &self,
        space: &str,
        hashes: impl Iterator<Item = String>,
    ) -> (Taken, Vec<(String, Awaited)>) {
        let mut taken = Taken { asked: self.clone(), space: space.to_owned(), texts: HashMap::new() };
        let mut others = Vec::new();
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in hashes {
            let key = (space.to_owned(), hash.clone());
            if let Some(awaited) = asked.get(&key) {
                others.push((hash, awaited.clone()));
                continue;
            }
            let (sender, awaited) = watch::channel(None);
            asked.insert(key, awaited);
            taken.texts.insert(hash.clone(), sender);
        }
        drop(asked);
        (taken, others)
    }
}

impl Taken {
    /// Returns the texts, by their digests.
    pub(crate) fn hashes(&self) -> Vec<String> {
        self.texts.keys().cloned().collect()
    }

    /// Whether this text is one of them.
    pub(crate) fn has(&self, hash: &str) -> bool {
        self.texts.contains_key(hash)
    }

    /// Gives those who wait the vectors.
    pub(crate) fn give(&self, vectors: &HashMap<String, Vec<f32>>) {
        for (hash, sender) in &self.texts {
            if let Some(vector) = vectors.get(hash) {
                sender.send_replace(Some(vector.clone()));
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut asked = self.asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in self.texts.keys() {
            asked.remove(&(self.space.clone(), hash.clone()));
        }
    }
}
