//! Several requests at once, within one task.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

/// How many requests one operation has under way at most.
const WINDOW: usize = 32;

/// Runs all to their ends, [`WINDOW`] at a time. The result is the first error, if any: the other
/// futures have ended all the same.
pub(crate) async fn all<E, F>(futures: Vec<F>) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let mut waiting = futures.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut result = Ok(());
    loop {
        running.extend(waiting.by_ref().take(WINDOW - running.len()).map(Box::pin));
        if running.is_empty() {
            return result;
        }
        let before = running.len();
        poll_fn(|context| {
            running.retain_mut(|future| match future.as_mut().poll(context) {
                Poll::Ready(end) => {
                    if result.is_ok() {
                        result = end;
                    }
                    false
                }
                Poll::Pending => true,
            });
            if running.len() < before {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
