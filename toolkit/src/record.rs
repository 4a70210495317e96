//! Resource consumption records (paper, section 2.2): what one request has used.
//!
//! The toolkit sets processor time and counts the request; the resource adds what only it knows:
//! bytes, memory, and any further [`Field`]s. What the schedulers of schedulers are told includes the
//! cycles of the decisions, which no account does.

use crate::ids::ActivityId;

/// What a scheduler charges by: one of the basic fields of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Processor cycles.
    Cpu,
    /// Bytes moved.
    Bytes,
    /// Requests executed.
    Requests,
    /// Bytes of memory allocated.
    Memory,
}

impl Metric {
    /// Number of metrics.
    pub const COUNT: usize = 4;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [Self::Cpu, Self::Bytes, Self::Requests, Self::Memory];
}

/// The name of a further field of a record: numbers that a resource and the schedulers that know
/// it agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Field(pub u16);

/// Why a record was made; schedulers distinguish records by it (paper, appendix).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A request has been executed.
    Executed,
    /// A waiting request's continuation was polled.
    Polled,
    /// The resource reports consumption that is not the handling of a request, such as a
    /// completion.
    Reported,
}

/// What was consumed, and who pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Why the record was made.
    pub kind: RecordKind,
    /// The activity to attribute.
    pub activity: ActivityId,
    /// The basic fields, in the order of [`Metric::ALL`].
    pub basic: &'a [u64; Metric::COUNT],
    /// Further fields, set by the resource.
    pub further: &'a [(Field, u64)],
}

impl Record<'_> {
    /// The amount of one metric.
    #[must_use]
    #[inline]
    pub const fn amount(&self, metric: Metric) -> u64 {
        self.basic[metric as usize]
    }

    /// A further field, if the resource has set it.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<u64> {
        self.further
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, value)| *value)
    }
}
