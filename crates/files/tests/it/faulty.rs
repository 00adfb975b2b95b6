//! Contents whose object store fails, or stops where a test wants it to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use loomwork_files::object_store::memory::InMemory;
use loomwork_files::object_store::path::Path;
use loomwork_files::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Semaphore;

/// A place at which calls stop, once it is closed.
#[derive(Debug)]
pub(crate) struct Gate {
    is_closed: AtomicBool,
    arrived: Semaphore,
    passes: Semaphore,
}

impl Gate {
    fn new() -> Self {
        Self { is_closed: AtomicBool::new(false), arrived: Semaphore::new(0), passes: Semaphore::new(0) }
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Lets all pass, those who wait too.
    pub(crate) fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
        self.passes.add_permits(100);
    }

    /// Waits until one has arrived.
    pub(crate) async fn arrival(&self) {
        self.arrived.acquire().await.expect("the gate stays").forget();
    }

    async fn pass(&self) {
        if self.is_closed.load(Ordering::SeqCst) {
            self.arrived.add_permits(1);
            self.passes.acquire().await.expect("the gate stays").forget();
        }
    }
}

/// An object store in memory with gates and faults.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: InMemory,
    pub(crate) before_put: Gate,
    pub(crate) after_put: Gate,
    pub(crate) before_delete: Gate,
    pub(crate) after_delete: Gate,
    pub(crate) puts_fail: AtomicBool,
    pub(crate) deletes_fail: AtomicBool,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            before_put: Gate::new(),
            after_put: Gate::new(),
            before_delete: Gate::new(),
            after_delete: Gate::new(),
            puts_fail: AtomicBool::new(false),
            deletes_fail: AtomicBool::new(false),
        })
    }

    pub(crate) async fn count(&self) -> usize {
        self.inner.list(None).count().await
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn failure() -> Error {
    Error::Generic { store: "Faulty", source: "the disk is full".into() }
}

#[async_trait]
impl ObjectStore for Shared {
    async fn put_opts(&self, at: &Path, content: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.before_put.pass().await;
        if self.0.puts_fail.load(Ordering::SeqCst) {
            return Err(failure());
        }
        let put = self.0.inner.put_opts(at, content, options).await;
        self.0.after_put.pass().await;
        put
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, all: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let faulty = self.0.clone();
        let deleted = all.then(move |path| {
            let faulty = faulty.clone();
            async move {
                faulty.before_delete.pass().await;
                if faulty.deletes_fail.load(Ordering::SeqCst) {
                    return Err(failure());
                }
                let one = futures_util::stream::iter([path]).boxed();
                let deleted = faulty.inner.delete_stream(one).next().await.expect("one answer to one path");
                faulty.after_delete.pass().await;
                deleted
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.inner.copy_opts(from, to, options).await
    }
}

/// A handle to a faulty object store.
#[derive(Debug)]
pub(crate) struct Shared(pub(crate) Arc<Faulty>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
