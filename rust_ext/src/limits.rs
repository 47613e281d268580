//! Bounds that hold before anything is allocated.

/// How much one shard may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the footer.
    pub footer_bytes: u64,
    /// Leaf columns of the schema.
    pub columns: u64,
    /// Row groups of the file.
    pub row_groups: u64,
    /// Rows of the file.
    pub rows: u64,
    /// Entries of one cell.
    pub list_length: u64,
    /// Bytes of one text.
    pub string_bytes: u64,
    /// Decoded bytes that may be held at once of one column.
    pub batch_bytes: u64,
    /// Bytes of one page after decompression.
    pub page_bytes: u64,
    /// Distinct values of one column in one row group.
    pub distinct: u64,
}

impl Limits {
    /// Names and defaults, in one place for Rust and Python.
    #[must_use]
    pub fn entries(&self) -> [(&'static str, u64); 9] {
        [
            ("footer_bytes", self.footer_bytes),
            ("columns", self.columns),
            ("row_groups", self.row_groups),
            ("rows", self.rows),
            ("list_length", self.list_length),
            ("string_bytes", self.string_bytes),
            ("batch_bytes", self.batch_bytes),
            ("page_bytes", self.page_bytes),
            ("distinct", self.distinct),
        ]
    }

    /// Sets one limit by its name; false where there is no such limit.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let slot = match name {
            "footer_bytes" => &mut self.footer_bytes,
            "columns" => &mut self.columns,
            "row_groups" => &mut self.row_groups,
            "rows" => &mut self.rows,
            "list_length" => &mut self.list_length,
            "string_bytes" => &mut self.string_bytes,
            "batch_bytes" => &mut self.batch_bytes,
            "page_bytes" => &mut self.page_bytes,
            "distinct" => &mut self.distinct,
            _ => return false,
        };
        *slot = value;
        true
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            footer_bytes: 64 << 20,
            columns: 4_096,
            row_groups: 65_536,
            rows: 1 << 20,
            list_length: 262_144,
            string_bytes: 65_536,
            batch_bytes: 256 << 20,
            page_bytes: 64 << 20,
            distinct: 1 << 20,
        }
    }
}
