//! One way of a wire: from a socket, by way of what happens to packets, to another socket.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::treatment::{Treated, Treatment, Way};

/// The longest frame.
const MAX_FRAME: usize = 65_550;
/// How often a forwarder looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// How long a receiver that is behind is waited for before a frame is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread that forwards, until this is dropped.
pub(super) struct Forwarder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a forwarder and who has started it share.
#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    /// What happens to packets from now on, and what has happened since that was said.
    state: Mutex<(Treatment, Treated)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, (Treatment, Treated)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forwarder {
    pub(super) fn start(
        from: &UnixDatagram,
        to: &UnixDatagram,
        target: PathBuf,
        seed: u64,
    ) -> Result<Self> {
        let sockets = from
            .try_clone()
            .and_then(|from| Ok((from, to.try_clone()?)));
        let (from, to) = sockets.context("cannot copy a socket")?;
        to.set_write_timeout(Some(PATIENCE))?;
        let shared = Arc::<Shared>::default();
        let told = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            forward(&from, (&to, &target), Way::new(seed), &told);
        });
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn treated(&self) -> Treated {
        self.shared.state().1
    }

    /// From now on this happens to packets.
    pub(super) fn treat(&self, treatment: Treatment) -> Result<()> {
        treatment.check()?;
        *self.shared.state() = (treatment, Treated::default());
        Ok(())
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said so itself if it has panicked.
            let _ = thread.join();
        }
    }
}

fn forward(
    from: &UnixDatagram,
    (to, target): (&UnixDatagram, &Path),
    mut way: Way,
    shared: &Shared,
) {
    let start = Instant::now();
    let mut frame = vec![0; MAX_FRAME];
    while !shared.ends.load(Ordering::Relaxed) {
        while let Some(packet) = way.leave(start.elapsed()) {
            // Where nobody is yet, or any more, it is lost.
            let _ = to.send_to(&packet, target);
        }
        let left = way.due().map(|due| due.saturating_sub(start.elapsed()));
        let limit = left.map_or(LOOK, |left| left.min(LOOK));
        match receive(from, &mut frame, limit) {
            Ok(Some(length)) => {
                let (treatment, treated) = &mut *shared.state();
                way.enter(start.elapsed(), &frame[..length], *treatment, treated);
            }
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// Takes in a frame, for which `limit` is waited; its length.
fn receive(socket: &UnixDatagram, frame: &mut [u8], limit: Duration) -> Result<Option<usize>> {
    // No time at all would be for ever.
    socket.set_read_timeout(Some(limit.max(Duration::from_micros(1))))?;
    match socket.recv(frame) {
        Ok(length) => Ok(Some(length)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).context("cannot receive a frame"),
    }
}
