//! Comparing rows with rows, and rows with objects.

mod find;

use futures_util::TryStreamExt as _;
use loomwork_core::RawId;
use loomwork_store::{Id, Result, Tx};

use crate::blobs::Object;
use crate::files::Files;
use crate::hash::{Hash, Hashing};
use crate::owners::Owner;
use crate::tables::{Blob, FileId, Reference};
use find::Part;

/// How many rows a check reads in one query.
pub const CHECK_STEP: usize = 256;

/// The most findings that a report lists; it counts all.
pub const MAX_FINDINGS: usize = 1_000;

/// Sorts before every id.
const START: RawId = RawId::from_bytes([0; 16]);

/// How thorough a check is, and what it does about what it finds. By default it looks at rows and at the
/// sizes of objects, and changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Reads all contents and compares their hashes.
    pub contents: bool,
    /// Sets counts right, removes references to files that are not there and objects without a row, and
    /// marks damaged contents, so that storing the same bytes again mends them.
    pub mend: bool,
}

/// What is wrong with the files of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// A file whose count of owners is not what there are.
    #[error("{file} counts {counted} owners, there are {found}")]
    OwnersMiscounted {
        /// The file.
        file: FileId,
        /// What its row says.
        counted: u64,
        /// What there are.
        found: u64,
    },
    /// A content whose count of files is not what there are.
    #[error("{blob} counts {counted} files, there are {found}")]
    FilesMiscounted {
        /// The row of the content.
        blob: Id<Blob>,
        /// What it says.
        counted: u64,
        /// What there are.
        found: u64,
    },
    /// A reference to a file that is not there.
    #[error("{owner:?} owns {file}, which is not there")]
    Dangling {
        /// The file.
        file: FileId,
        /// Who owns it.
        owner: Owner,
        /// The row that says so.
        reference: Id<Reference>,
    },
    /// A file whose content has no row. Nothing mends it but deleting it.
    #[error("{file} has a content without a row")]
    Unbacked {
        /// The file.
        file: FileId,
    },
    /// A content that is missing, or is not what was stored.
    #[error("the content {hash} of {files:?} is {}", damage(*.size, *.found))]
    Damaged {
        /// The row of the content.
        blob: Id<Blob>,
        /// What was stored.
        hash: Hash,
        /// The bytes that were stored.
        size: u64,
        /// The bytes that are there, if any are.
        found: Option<u64>,
        /// Some of the files that have this content.
        files: Vec<FileId>,
    },
    /// An object that no row knows of.
    #[error("the object {key} belongs to no row")]
    Stray {
        /// Its key.
        key: String,
    },
    /// An object whose key is none of ours. It is left alone.
    #[error("the object {key} was not put there by this crate; give the files a place of their own")]
    Foreign {
        /// Its key.
        key: String,
    },
}

fn damage(size: u64, found: Option<u64>) -> String {
    match found {
        None => "missing".to_owned(),
        Some(found) if found == size => "not the one that was stored".to_owned(),
        Some(found) => format!("of {found} bytes, {size} were stored"),
    }
}

/// What a check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many files there are.
    pub files: usize,
    /// How many references.
    pub references: usize,
    /// How many stored contents.
    pub contents: usize,
    /// How many objects.
    pub objects: usize,
    /// What is wrong, up to [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How much is wrong in all.
    pub found: usize,
}

impl Files {
    /// Counts everything again and compares rows with objects. It may run beside all else: what changes
    /// meanwhile is no finding.
    ///
    /// # Errors
    /// When the store or the object store cannot be read, or written where it mends.
    pub async fn check(&self, options: CheckOptions) -> Result<Report> {
        let mut report = Report::default();
        report.files = self.check_rows(find::in_files, options, &mut report).await?;
        report.references = self.check_rows(find::in_references, options, &mut report).await?;
        self.check_rows(find::in_blobs, options, &mut report).await?;
        self.check_contents(options, &mut report).await?;
        self.check_objects(options, &mut report).await?;
        Ok(report)
    }

    /// Looks at the rows of one table, some at a time, and returns how many there are.
    async fn check_rows(
        &self,
        find: fn(&Tx, RawId) -> Result<Part>,
        options: CheckOptions,
        report: &mut Report,
    ) -> Result<usize> {
        let (mut rows, mut after) = (0, Some(START));
        while let Some(behind) = after {
            let part = self.store.query(move |tx| find(tx, behind)).await?;
            for finding in part.findings {
                self.report(finding, options, report).await?;
            }
            rows += part.rows;
            after = part.next;
        }
        Ok(rows)
    }

    async fn check_contents(&self, options: CheckOptions, report: &mut Report) -> Result<()> {
        let mut after = START;
        loop {
            let blobs = self.store.query(move |tx| tx.scan(find::behind::<Blob>(after))).await?;
            let is_last = blobs.len() < CHECK_STEP;
            for blob in blobs {
                after = blob.id.raw();
                let Some(hash) = blob.hash.filter(|_| blob.is_stored()) else { continue };
                report.contents += 1;
                let found = self.blobs.size(blob.id).await?;
                let is_right = found == Some(blob.size)
                    && (!options.contents || self.content_hash(blob.id).await? == Some(hash));
                if is_right {
                    continue;
                }
                let finding = self.store.query(move |tx| find::damaged(tx, blob.id, found)).await?;
                if let Some(finding) = finding {
                    self.report(finding, options, report).await?;
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn content_hash(&self, blob: Id<Blob>) -> Result<Option<Hash>> {
        let Some(found) = self.blobs.get(blob, None).await? else { return Ok(None) };
        let (mut pieces, mut hashing) = (found.pieces, Hashing::default());
        while let Some(piece) = pieces.try_next().await? {
            hashing.update(&piece).await;
        }
        Ok(Some(hashing.finish()))
    }

    /// Looks for objects without a row. A row is there before its object and longer than it, so an object
    /// that was listed first and has no row then is nobody's.
    async fn check_objects(&self, options: CheckOptions, report: &mut Report) -> Result<()> {
        let mut objects = self.blobs.list();
        while let Some(Object { key, blob }) = objects.try_next().await? {
            report.objects += 1;
            let Some(blob) = blob else {
                report.add(Finding::Foreign { key });
                continue;
            };
            if self.store.query(move |tx| tx.get(blob)).await?.is_none() {
                report.add(Finding::Stray { key });
                if options.mend {
                    self.blobs.remove(blob).await?;
                }
            }
        }
        Ok(())
    }

    async fn report(&self, finding: Finding, options: CheckOptions, report: &mut Report) -> Result<()> {
        if options.mend {
            let finding = finding.clone();
            self.store.mutate(move |tx| find::mend(tx, finding)).await?;
        }
        report.add(finding);
        Ok(())
    }
}

impl Report {
    fn add(&mut self, finding: Finding) {
        tracing::warn!(%finding, "a check of the files found something wrong");
        self.found += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}
