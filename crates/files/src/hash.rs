//! The hash that names a content.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use loomwork_store::{Key, KeyError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::error::{FileError, beginning};

/// Pieces from this size on are hashed off the threads that serve futures.
const OFFLOAD_BYTES: usize = 256 * 1024;

/// The SHA-256 of a content: its address. As text, 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, std::hash::Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Computes the hash of a content that is at hand.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Takes 32 bytes as a hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| FileError::BadHash { text: beginning(text) })
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Key for Hash {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        self.0.to_vec().write(out)
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        let bytes = Vec::<u8>::read(input)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Mismatch { expected: "a hash of 32 bytes" })
    }
}

/// Hashes a content on its way.
#[derive(Default)]
pub(crate) struct Hashing(Sha256);

impl Hashing {
    /// Takes the next piece. A future that is dropped leaves the hash unusable.
    pub(crate) async fn update(&mut self, piece: &Bytes) {
        if piece.len() < OFFLOAD_BYTES {
            self.0.update(piece);
            return;
        }
        let (mut hasher, large) = (std::mem::take(&mut self.0), piece.clone());
        let hashed = tokio::task::spawn_blocking(move || {
            hasher.update(&large);
            hasher
        });
        match hashed.await {
            Ok(hasher) => self.0 = hasher,
            // Hashing cannot panic: the runtime is shutting down, and takes this future with it.
            Err(_) => std::future::pending().await,
        }
    }

    pub(crate) fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}
