//! What the tests of hostile files share: a counting allocator, a shard in memory, and a request.

#![allow(unsafe_code, reason = "a counting allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tahoe_core::limits::Limits;
use tahoe_core::request::{ScanRequest, Stats};
use tahoe_core::store::Store;
use tahoe_core::vocabulary::{Joins, Vocabulary};

/// Counts live bytes and their peak.
pub struct Counting;

/// Bytes that are allocated now.
pub static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The most that were allocated at once.
pub static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A shard in memory.
pub struct Memory(pub Bytes);

impl Store for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(|_| std::io::ErrorKind::UnexpectedEof)?;
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.0.len())
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        Ok(self.0.slice(start..end))
    }
}

/// The columns of a Tahoe shard.
pub const SCHEMA: &str = "message schema {
    optional group genes (LIST) { repeated group list { optional int64 element; } }
    optional group expressions (LIST) { repeated group list { optional float element; } }
    optional binary drug (UTF8); optional binary sample (UTF8); optional binary BARCODE_SUB_LIB_ID (UTF8);
    optional binary cell_line_id (UTF8); optional binary moa-fine (UTF8); optional binary canonical_smiles (UTF8);
    optional binary pubchem_cid (UTF8); optional binary plate (UTF8);
}";

/// A scan of everything with these.
pub fn request<'a>(
    stats: Stats,
    reject_rows: bool,
    vocabulary: &'a Vocabulary,
    joins: &'a Joins,
) -> ScanRequest<'a> {
    ScanRequest {
        path: "",
        shard: "shard",
        part: "",
        genes_part: None,
        stats,
        identity: None,
        vocabulary,
        joins,
        wanted: [None, None, None, None],
        rows: (0, u64::MAX),
        min_genes: 0,
        reject_rows,
        limits: Limits::default(),
    }
}

/// Runs `work` and gives by how many bytes the allocated memory grew at most.
pub fn grown<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let out = work();
    (out, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}
