//! Work that goes from resource to resource as a continuation (paper, section 3.5).
//!
//! Key types: [`Errand`] (a message: the function to invoke in the destination, with its
//! arguments), [`Here`] (where a continuation is: what all cores share, and its port to the grid).
//!
//! [`Here::visit`] has a piece of work done by another resource, on whomever's account, and goes on
//! with what comes of it: a request and its reply, each scheduled and charged like any other.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;

use vortex_toolkit::ids::{ActivityId, ResourceId};
use vortex_toolkit::{Context, Outcome, Port, Request, Task};

use crate::errno::Errno;
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// How long a continuation works at a time if others can go first, in nanoseconds: a call in between costs
/// a tenth of that under emulation, and a hundredth on a machine.
const AT_A_TIME: u64 = 150_000;

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work for a resource.
pub struct Errand<M: Machine>(Box<dyn FnOnce(Here<M>) -> Body + Send>);

impl<M: Machine> Errand<M> {
    /// This work, as a message.
    pub fn message<F>(work: impl FnOnce(Here<M>) -> F + Send + 'static) -> Message<M>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Message::Errand(Self(Box::new(|here| Box::pin(work(here)))))
    }

    /// Begins it in the resource that it was sent to.
    pub(crate) fn begin(
        self,
        shared: &Arc<Shared<M>>,
        context: &Context<'_, Vortex<M>>,
    ) -> Outcome<Message<M>> {
        let shared = shared.clone();
        let begin = move |port| self.0(Here { shared, port });
        Outcome::Continue(Task::new(context.port(), begin))
    }
}

impl<M: Machine> core::fmt::Debug for Errand<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Errand")
    }
}

/// Where a continuation is.
pub struct Here<M: Machine> {
    /// What all cores share.
    pub shared: Arc<Shared<M>>,
    /// Its way to the grid.
    pub port: Port<Message<M>>,
}

impl<M: Machine> Clone for Here<M> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            port: self.port.clone(),
        }
    }
}

impl<M: Machine> Here<M> {
    /// Who pays.
    #[must_use]
    pub fn activity(&self) -> ActivityId {
        self.port.head().activity
    }

    /// The resource that this is.
    #[must_use]
    pub fn resource(&self) -> ResourceId {
        self.port.head().destination
    }

    /// Lets others go first in the middle of much work, which would keep the core from them as long as it
    /// takes: goes on when a request of this activity's to a resource of this kind has had its turn.
    pub(crate) async fn give_way(&self, kind: Kind) {
        // Who cannot even ask has ended, and has no others to keep waiting.
        let _ = self.visit(kind, self.activity(), |_| async {}).await;
    }

    /// [`Self::give_way`], if this continuation has worked for long since others had their turn.
    pub(crate) async fn give_way_if_long(&self, kind: Kind) {
        let worked = self.shared.machine.now().saturating_sub(self.port.now());
        if self.shared.clock.nanoseconds(worked) >= AT_A_TIME {
            self.give_way(kind).await;
        }
    }

    /// Has a resource of this kind do a piece of work, on the account of `payer`, and waits for what
    /// comes of it.
    ///
    /// # Errors
    /// EIO if no resource could do it.
    pub async fn visit<T, F>(
        &self,
        kind: Kind,
        payer: ActivityId,
        work: impl FnOnce(Self) -> F + Send + 'static,
    ) -> Result<T, Errno>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let result = Arc::new(spin::Mutex::new(None));
        let place = result.clone();
        let mut message = Errand::message(move |here: Self| async move {
            let value = work(here.clone()).await;
            *place.lock() = Some(value);
            here.port.reply(Message::Done);
        });
        // When the activity has ended, what is left to do is the infrastructure's.
        for payer in [payer, ActivityId::INFRASTRUCTURE] {
            let destination = self.shared.destination(kind, payer);
            let request = self.port.request(destination, message).paid_by(payer);
            match self.port.call(request).await {
                Ok(_) => return result.lock().take().ok_or(Errno::EIO),
                Err((request, _)) => message = request.message,
            }
        }
        Err(Errno::EIO)
    }

    /// Has a resource of this kind do a piece of work, on the account of `payer`; nobody waits for
    /// it.
    pub fn dispatch<F>(
        &self,
        kind: Kind,
        payer: ActivityId,
        work: impl FnOnce(Self) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let destination = self.shared.destination(kind, payer);
        let request = self.port.request(destination, Errand::message(work));
        self.port.send(request.paid_by(payer));
    }

    /// Sends a request that stands for itself: without labels of this one.
    pub fn send(&self, request: Request<Message<M>>) {
        self.port.send(request);
    }

    /// The time in nanoseconds since 1970.
    #[must_use]
    pub fn real_time(&self) -> u64 {
        self.shared.clock.real_time(self.shared.machine.now())
    }
}
