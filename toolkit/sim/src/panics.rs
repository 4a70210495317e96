//! Policies that panic: caught, and not reported as if the simulator had failed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use vortex_toolkit::PolicyPanicked;

thread_local! {
    /// Whether this thread is inside a policy.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs one call of a policy. A panic in it is caught and printed nowhere.
pub(crate) fn catch<R>(call: impl FnOnce() -> R) -> Result<R, PolicyPanicked> {
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !INSIDE.get() {
                report(info);
            }
        }));
    });
    let outer = INSIDE.replace(true);
    // What the policy leaves behind is never looked at again: the toolkit drops it.
    let result = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outer);
    result.map_err(|_| PolicyPanicked)
}
