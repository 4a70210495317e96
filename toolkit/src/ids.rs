//! Names of things: resources, activities, cores, clients and labels.
//!
//! Each is a type of its own, so that a client's number cannot be taken for an activity's. None of
//! them has an order that means anything beyond "the same or not"; `Ord` is there for maps.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number as an index into a table.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A resource of the grid (paper, section 2.1), numbered from 0 in the order of creation.
    ResourceId(u32)
}

id! {
    /// The principal that pays for a request (paper, section 2.1). Number 0 is the infrastructure.
    ActivityId(u32)
}

id! {
    /// A core of the machine, numbered from 0 without gaps.
    CoreId(u16)
}

id! {
    /// A client of one scheduler on one core, numbered from 0; a number is used again after
    /// `remove_client`. A resource's scheduler has request queues as clients; a CPU multiplexor has
    /// schedulers.
    ClientId(u32)
}

impl ActivityId {
    /// The activity of work that no hosted service has asked for or whose payer is not yet known.
    pub const INFRASTRUCTURE: Self = Self(0);
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
