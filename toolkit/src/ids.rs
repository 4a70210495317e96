//! Names of things: resources, activities, cores, clients and labels.
//!
//! Each is a type of its own, so that a client's number cannot be taken for an activity's. None of
//! them has an order that means anything beyond "the same or not"; `Ord` is there for maps.
//!
//! Resources and activities come and go. Their numbers have two parts, the index of a place in a
//! table and, above it, how often that place has been used before: so the number of one that has
//! gone is not that of its successor in the same place.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), index & $mask:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The index into a table.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                (self.0 & $mask) as usize
            }
        }
    };
}

/// Bits of a resource's or activity's number that are its index; those above are the generation.
pub(crate) const INDEX_BITS: u32 = 20;
const INDEX: u32 = (1 << INDEX_BITS) - 1;

id! {
    /// A resource of the grid (paper, section 2.1): those made before any has gone are numbered
    /// from 0 in the order of creation.
    ResourceId(u32), index & INDEX
}

id! {
    /// The principal that pays for a request (paper, section 2.1). Number 0 is the infrastructure.
    ActivityId(u32), index & INDEX
}

id! {
    /// A core of the machine, numbered from 0 without gaps.
    CoreId(u16), index & u16::MAX
}

id! {
    /// A client of one scheduler on one core, numbered from 0; a number is used again after
    /// `remove_client`. A resource's scheduler has request queues as clients; a CPU multiplexor has
    /// schedulers.
    ClientId(u32), index & u32::MAX
}

impl ActivityId {
    /// The activity of work that no hosted service has asked for or whose payer is not yet known.
    pub const INFRASTRUCTURE: Self = Self(0);

    /// In accounts only: all activities that have ended, together.
    pub const ENDED: Self = Self(u32::MAX);
}

impl ResourceId {
    /// The source of a request that no resource has sent: the boot code, or a test.
    pub const OUTSIDE: Self = Self(u32::MAX);
}

/// Orders requests: those with equal labels from one source to one destination, paid by one
/// activity, start in the order sent (paper, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DependencyLabel(pub u64);

impl DependencyLabel {
    /// No order asked for.
    pub const NONE: Self = Self(0);
}

/// A hint about data locality: requests with equal labels run on the same core while the binding
/// of the label lasts (paper, section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AffinityLabel(pub u64);

impl AffinityLabel {
    /// The label of requests that do not care where they run.
    pub const NONE: Self = Self(0);
}
