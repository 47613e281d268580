//! The compiled core of tahoe-engine: encoded Parquet shards in, small exact tables out.
//!
//! From the file up:
//!
//! | floor | modules |
//! |---|---|
//! | bytes | [`store`] reads, [`footer`] and `claims` judge ends and headers, [`layout`] finds the columns |
//! | codes | [`pages`] gives row lengths and dictionary codes of a `chunk` through [`levels`], [`hybrid`], `unpack`, `plain`, `delta`; [`dictionary`] says what a code is, `texts` the same for text |
//! | cells | `lists` pairs the two lists of a row, [`values`] judges numbers, [`spectrum`] counts them, [`cells`] checks a row once |
//! | numbers | [`moments`] a row a cell, [`genes`] and [`sums`] a row a gene, [`groups`] a row a gene of each group of cells |
//! | tables | `columns` and [`partials`] gather them, [`table`] writes them, [`digest`] hashes them |
//! | work | [`request`] and [`scan`] one shard end to end, [`chosen`] some of its rows, [`needs`] the bytes it will read, [`probe`] its footer only, [`synth`] made-up cells |
//! | border | `python`, the only importer of pyo3; `caught` stops panics, [`error`] names defects |

mod caught;
pub mod cells;
pub mod chosen;
mod chunk;
mod claims;
mod columns;
pub mod counts;
mod delta;
pub mod dictionary;
pub mod digest;
pub mod error;
pub mod footer;
pub mod genes;
pub mod groups;
pub mod hybrid;
pub mod layout;
pub mod levels;
pub mod limits;
mod lists;
pub mod moments;
pub mod needs;
pub mod pages;
pub mod partials;
mod plain;
pub mod probe;
#[cfg(feature = "python")]
mod python;
pub mod request;
pub mod scan;
pub mod spectrum;
pub mod store;
pub mod sums;
pub mod synth;
pub mod table;
mod texts;
mod thrift;
mod unpack;
pub mod values;
pub mod vocabulary;
mod wide;
