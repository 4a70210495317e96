//! What a process may do beyond its own activity. The first process has all; others get what the
//! one that starts them passes on.

/// Read everybody's statistics.
pub const STATISTICS: u64 = 1;

/// Change what activities are to schedulers, what these charge by, and how much memory activities
/// may hold.
pub const WEIGHTS: u64 = 1 << 1;

/// Create activities, put processes into others than one's own, and have others' cached files given
/// back.
pub const ACTIVITIES: u64 = 1 << 2;

/// Signal processes of other activities; suspend and resume activities.
pub const SIGNALS: u64 = 1 << 3;

/// All of them.
pub const ALL: u64 = STATISTICS | WEIGHTS | ACTIVITIES | SIGNALS;
