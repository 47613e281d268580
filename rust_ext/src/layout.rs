//! The columns that a shard must have: their names, types, and what their levels mean.

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::schema::types::{SchemaDescriptor, Type};

use crate::error::{Code, Defect, Result};

/// The token column.
pub const GENES: &str = "genes";
/// The count column.
pub const EXPRESSIONS: &str = "expressions";
/// The text columns that a shard must have, in the order of [`Layout::texts`].
pub const TEXTS: [&str; 5] = ["BARCODE_SUB_LIB_ID", "sample", "drug", "cell_line_id", "plate"];
/// The mechanism of action, which sister data sets may lack: it hangs on the drug, not on the cell.
pub const MOA: &str = "moa-fine";
/// Columns of a Tahoe shard that are known and not read.
const KNOWN: [&str; 2] = ["canonical_smiles", "pubchem_cid"];

/// Where a leaf stands and what its levels mean.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// Index among the leaf columns.
    pub index: usize,
    /// How its values are stored.
    pub physical: Physical,
    /// Definition level of a value that is there.
    pub max_def: u32,
    /// Definition level from which on a list has an entry; 0 for texts.
    pub entry_def: u32,
    /// Whether the leaf is inside a list.
    pub in_list: bool,
}

/// The columns that a scan needs, found by name.
#[derive(Clone, Debug)]
pub struct Layout {
    /// `genes`.
    pub genes: Leaf,
    /// `expressions`.
    pub expressions: Leaf,
    /// The columns of [`TEXTS`].
    pub texts: [Leaf; 5],
    /// [`MOA`], where there is such a column.
    pub moa: Option<Leaf>,
    /// Columns that nobody asked for.
    pub extra: Vec<String>,
}

/// Checks the schema against what a shard must have.
///
/// # Errors
/// `E_MISSING_COLUMN`, `E_DUPLICATE_COLUMN`, `E_TYPE`.
pub fn find_layout(schema: &SchemaDescriptor) -> Result<Layout> {
    let fields = schema.root_schema().get_fields();
    let root_of = |name: &str| -> Result<usize> {
        let mut hits = fields.iter().enumerate().filter(|(_, f)| f.name() == name);
        let Some((index, _)) = hits.next() else {
            let near = fields.iter().map(|f| f.name()).find(|n| n.eq_ignore_ascii_case(name));
            let hint =
                near.map_or_else(String::new, |n| format!(" (names are case-sensitive: there is {n:?})"));
            return Err(Defect::new(Code::MissingColumn, format!("no column {name:?}{hint}")));
        };
        match hits.next() {
            None => Ok(index),
            Some(_) => Err(Defect::new(Code::DuplicateColumn, format!("two columns named {name:?}"))),
        }
    };
    let leaf_of = |name: &str| -> Result<Leaf> {
        let root = root_of(name)?;
        let field = fields.get(root).ok_or_else(|| Defect::new(Code::Footer, "a column without a field"))?;
        let mut leaves = (0..schema.num_columns()).filter(|i| schema.get_column_root_idx(*i) == root);
        let index = leaves.next().ok_or_else(|| mistyped(name, "a value", field))?;
        let leaf = if name == GENES || name == EXPRESSIONS {
            list_leaf(name, index, field)?
        } else {
            text_leaf(name, index, field)?
        };
        if leaves.next().is_some() {
            return Err(mistyped(name, "one value", field));
        }
        Ok(leaf)
    };
    let [id, sample, drug, line, plate] = TEXTS;
    let layout = Layout {
        genes: leaf_of(GENES)?,
        expressions: leaf_of(EXPRESSIONS)?,
        texts: [leaf_of(id)?, leaf_of(sample)?, leaf_of(drug)?, leaf_of(line)?, leaf_of(plate)?],
        moa: if fields.iter().any(|f| f.name() == MOA) { Some(leaf_of(MOA)?) } else { None },
        extra: fields
            .iter()
            .map(|field| field.name())
            .filter(|n| {
                *n != GENES && *n != EXPRESSIONS && !TEXTS.contains(n) && *n != MOA && !KNOWN.contains(n)
            })
            .map(str::to_owned)
            .collect(),
    };
    Ok(layout)
}

fn mistyped(name: &str, wanted: &str, found: &Type) -> Defect {
    Defect::new(Code::Type, format!("column {name:?} must be {wanted}; found {}", describe(found)))
}

/// The type of a top-level column in a few words, `list<int64>`.
#[must_use]
pub fn describe(field: &Type) -> String {
    if field.is_primitive() {
        let logical = match field.get_basic_info().logical_type_ref() {
            Some(LogicalType::String) => return "text".to_owned(),
            Some(logical) => format!(" ({logical:?})"),
            None if field.get_basic_info().converted_type() == ConvertedType::UTF8 => {
                return "text".to_owned();
            }
            None => String::new(),
        };
        return format!("{}{logical}", field.get_physical_type().to_string().to_lowercase());
    }
    let inner: Vec<String> = field.get_fields().iter().map(|f| describe(f)).collect();
    let repeated = field.get_basic_info().has_repetition()
        && field.get_basic_info().repetition() == Repetition::REPEATED;
    if is_list(field) {
        format!("list<{}>", inner.join(", ").trim_start_matches("group of "))
    } else if repeated {
        inner.join(", ")
    } else {
        format!("group of {}", inner.join(", "))
    }
}

fn is_list(field: &Type) -> bool {
    let info = field.get_basic_info();
    field.is_group()
        && (matches!(info.logical_type_ref(), Some(LogicalType::List))
            || info.converted_type() == ConvertedType::LIST)
}

fn repetition(field: &Type) -> Repetition {
    let info = field.get_basic_info();
    if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED }
}

/// A list in the three-level form of the format, or in the two-level form of old writers.
fn list_leaf(name: &str, index: usize, field: &Type) -> Result<Leaf> {
    let wanted = if name == GENES { "a list of int64" } else { "a list of float" };
    let wrong = || mistyped(name, wanted, field);
    let outer_def = u32::from(repetition(field) == Repetition::OPTIONAL);
    if !is_list(field) || repetition(field) == Repetition::REPEATED {
        return Err(wrong());
    }
    let [repeated] = field.get_fields() else {
        return Err(wrong());
    };
    if repetition(repeated) != Repetition::REPEATED {
        return Err(wrong());
    }
    let entry_def = outer_def.saturating_add(1);
    let element = if repeated.is_primitive() {
        repeated
    } else {
        let [element] = repeated.get_fields() else {
            return Err(wrong());
        };
        element
    };
    if !element.is_primitive() || (repetition(element) == Repetition::REPEATED && !repeated.is_primitive()) {
        return Err(wrong());
    }
    let physical = element.get_physical_type();
    let info = element.get_basic_info();
    let fits = match (name, physical) {
        (GENES, Physical::INT64 | Physical::INT32) => match info.logical_type_ref() {
            Some(LogicalType::Integer(int)) => int.is_signed || physical == Physical::INT32,
            Some(_) => false,
            None => !matches!(
                info.converted_type(),
                ConvertedType::UINT_64
                    | ConvertedType::TIMESTAMP_MILLIS
                    | ConvertedType::TIMESTAMP_MICROS
                    | ConvertedType::DECIMAL
            ),
        },
        (EXPRESSIONS, Physical::FLOAT | Physical::DOUBLE) => true,
        _ => false,
    };
    if !fits {
        return Err(wrong());
    }
    let max_def = entry_def.saturating_add(u32::from(repetition(element) == Repetition::OPTIONAL));
    Ok(Leaf { index, physical, max_def, entry_def, in_list: true })
}

fn text_leaf(name: &str, index: usize, field: &Type) -> Result<Leaf> {
    let text = field.is_primitive()
        && field.get_physical_type() == Physical::BYTE_ARRAY
        && repetition(field) != Repetition::REPEATED
        && describe(field) == "text";
    if !text {
        return Err(mistyped(name, "text", field));
    }
    let max_def = u32::from(repetition(field) == Repetition::OPTIONAL);
    Ok(Leaf { index, physical: Physical::BYTE_ARRAY, max_def, entry_def: 0, in_list: false })
}
