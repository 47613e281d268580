//! The compiled core of tahoe-engine: encoded Parquet shards in, small exact tables out.

mod caught;
pub mod cells;
mod claims;
mod columns;
mod delta;
pub mod dictionary;
pub mod digest;
pub mod error;
pub mod footer;
pub mod genes;
pub mod hybrid;
pub mod limits;
pub mod moments;
pub mod pages;
mod partials;
mod plain;
pub mod probe;
#[cfg(feature = "python")]
mod python;
pub mod scan;
pub mod synth;
pub mod table;
mod texts;
pub mod vocabulary;
