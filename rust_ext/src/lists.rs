//! The two lists of a row, as they are read side by side.

use crate::cells::RowDefect;
use crate::error::{Code, Result};
use crate::levels::RowShape;
use crate::pages::ColumnPages;

/// Values of rows of these shapes.
pub fn values_of(shapes: &[RowShape]) -> usize {
    shapes.iter().fold(0, |sum, shape| sum.saturating_add(shape.values as usize))
}

/// Appends the codes of the taken rows and passes over the others: what is not taken is not stored,
/// however long it claims to be.
pub fn read_taken(
    pages: &mut ColumnPages,
    shapes: &[RowShape],
    takes: &[bool],
    out: &mut Vec<u32>,
) -> Result<()> {
    let mut rows = shapes.iter().zip(takes).peekable();
    while let Some((shape, take)) = rows.next() {
        let mut values = shape.values as usize;
        while let Some((shape, _)) = rows.next_if(|(_, next)| *next == take) {
            values = values.saturating_add(shape.values as usize);
        }
        if *take {
            pages.codes(values, out)?;
        } else {
            pages.skip(values)?;
        }
    }
    Ok(())
}

/// What the shapes of the two lists of a row tell.
pub fn shape_defect(genes: RowShape, values: RowShape) -> Option<RowDefect> {
    if genes.null_list || values.null_list {
        Some((Code::NullList, "a null in place of a list".to_owned()))
    } else if genes.nulls > 0 || values.nulls > 0 {
        Some((Code::NullElement, "a null inside a list".to_owned()))
    } else if genes.values != values.values {
        Some((Code::LengthMismatch, format!("{} genes but {} expressions", genes.values, values.values)))
    } else {
        None
    }
}
