//! A log whose end did not reach the disk whole: what is left is a beginning of the history.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use loomwork_core::Random;

use super::contents::Contents;
use super::subject::{beside, copy_dead, inspect, length, open};
use super::verify::verify_prefix;
use crate::crash::tally::Tally;

/// What becomes of the log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// It is cut off at some byte.
    Cut,
    /// One byte in its last quarter is another one.
    Flipped,
    /// Something that is no log follows.
    Followed,
}

/// The most bytes that follow the log.
const RUBBISH: u64 = 50_000;

/// A copy of a dead process's file whose log is damaged.
#[derive(Debug)]
pub(super) struct Copy {
    path: PathBuf,
    damage: Damage,
}

impl Copy {
    /// Copies the file, before anyone opens it, and damages the copy's log.
    pub(super) fn of(path: &Path, damage: Damage, random: &Random) -> Result<Self> {
        let folder = path.with_extension("torn");
        fs::create_dir_all(&folder)?;
        let copy = folder.join("store.db");
        copy_dead(path, &copy)?;
        harm(&beside(&copy, "-wal"), damage, random)?;
        Ok(Self { path: copy, damage })
    }

    /// Opens the copy: it holds a beginning of what the original holds, and all tables are of the same
    /// moment.
    pub(super) async fn check(self, original: &Contents, tally: &mut Tally) -> Result<()> {
        let store = open(&self.path).await?;
        let contents = inspect(&store, &self.path, tally).await?;
        verify_prefix(&contents, original, tally);
        if self.damage == Damage::Followed {
            tally.same("how much the copy holds", contents.events.len(), original.events.len());
        }
        tally.count("torn logs", 1);
        tally.count("commits cut off by tearing", (original.events.len() - contents.events.len()) as u64);
        store.close().await;
        fs::remove_dir_all(self.path.parent().context("the copy has a folder of its own")?)?;
        Ok(())
    }
}

fn harm(log: &Path, damage: Damage, random: &Random) -> Result<()> {
    let length = length(log);
    if length == 0 {
        return Ok(());
    }
    let mut file = OpenOptions::new().read(true).write(true).open(log)?;
    match damage {
        Damage::Cut => file.set_len(random.below(length))?,
        Damage::Flipped => {
            let at = length - 1 - random.below(length.div_ceil(4));
            let mut byte = [0];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut byte)?;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&[byte[0] ^ (1 + random.below(255) as u8)])?;
        }
        Damage::Followed => {
            let mut rubbish = vec![0; 1 + random.below(RUBBISH) as usize];
            random.fill(&mut rubbish);
            file.seek(SeekFrom::End(0))?;
            file.write_all(&rubbish)?;
        }
    }
    Ok(())
}
