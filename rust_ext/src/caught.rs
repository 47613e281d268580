//! Panics become defects: nothing unwinds out of the core.
//!
//! The `parquet` crate may panic on bytes that are no Parquet; that is the shard's fault and gets the
//! code of the step. A panic of our own is a bug and says so (`E_PANIC`).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::error::{Code, Defect};

thread_local! {
    /// How many calls of [`caught`] this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic inside one of them began.
    static PLACE: Cell<Option<(bool, String)>> = const { Cell::new(None) };
}

static HOOK: Once = Once::new();

/// The default hook prints a panic at once; one that is caught is reported by its defect instead.
fn install() {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                return before(info);
            }
            let place = info
                .location()
                .map(|l| (l.file().contains("rust_ext"), format!("{}:{}", l.file(), l.line())));
            PLACE.set(place);
        }));
    });
}

/// Runs `work`; a panic inside a dependency is a defect with this code, one of ours `E_PANIC`.
///
/// # Errors
/// What `work` says, or the panic.
pub fn caught<T, E: From<Defect>>(code: Code, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    install();
    DEPTH.set(DEPTH.get().saturating_add(1));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get().saturating_sub(1));
    outcome.unwrap_or_else(|_| {
        let (ours, place) = PLACE.take().unwrap_or((true, "an unknown place".to_owned()));
        let file = place.rsplit('/').next().unwrap_or(&place);
        Err(E::from(if ours {
            Defect::new(Code::Panic, format!("a bug of the core at {file}: please report it"))
        } else {
            Defect::new(code, format!("the Parquet reader gave up at {file}: the bytes are damaged"))
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_ours_is_called_a_bug() {
        let defect = caught::<(), Defect>(Code::Decode, || panic!("seen")).unwrap_err();
        assert_eq!(defect.code, Code::Panic);
        assert!(defect.reason.contains("caught.rs"), "{defect}");
    }
}
