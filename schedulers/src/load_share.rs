//! The load-sharing policies: which core an affinity label is bound to.
//!
//! Every scheduler takes the one its parameters name ([`LoadSharing`], paper, section 3.1.1); the
//! answer depends on nothing but the parameters, the label and the view. Where several cores are
//! equally good, the first one from the label's hash on (cyclically, in the order of
//! [`LoadView::cores`]) is taken: a label then tends to the same core at every resource, and the
//! labels of several resources do not all meet on the first core.

use vortex_toolkit::ids::{AffinityLabel, CoreId};
use vortex_toolkit::scheduler::{CoreBinding, LoadSharing, LoadView, SchedulerParams};

/// Binds a label.
///
/// - [`LoadSharing::AffinityHash`]: cores in equal proportions over all labels.
/// - [`LoadSharing::LeastBound`]: the core with the fewest bound labels; n labels spread over n
///   empty cores one each.
/// - [`LoadSharing::LeastReceived`]: the core where received / share is least, in the scheduler's
///   metric (footnote 3 of the paper).
/// - [`LoadSharing::Fixed`]: that core; the first of the view if the resource may not run there.
#[must_use]
pub fn bind(params: &SchedulerParams, affinity: AffinityLabel, view: &dyn LoadView) -> CoreBinding {
    let cores = view.cores();
    let hashed = hashed_index(affinity, cores.len());
    let from_hashed = || cores[hashed..].iter().chain(&cores[..hashed]).copied();
    let core = match params.load_sharing {
        LoadSharing::AffinityHash => cores.get(hashed).copied(),
        LoadSharing::LeastBound => from_hashed().min_by_key(|&core| view.bound(core)),
        LoadSharing::LeastReceived => from_hashed().min_by(|&one, &other| {
            // received / share compared without a division.
            let weighed = |core, by| {
                u128::from(view.received(core, params.metric)) * u128::from(view.share(by).get())
            };
            weighed(one, other).cmp(&weighed(other, one))
        }),
        LoadSharing::Fixed(core) => cores.contains(&core).then_some(core),
    };
    CoreBinding {
        core: core.or(cores.first().copied()).unwrap_or(CoreId(0)),
        lifetime: params.lifetime,
    }
}

/// An index below `count` (0 if there is none), each equally likely over all labels.
fn hashed_index(affinity: AffinityLabel, count: usize) -> usize {
    ((u128::from(mix(affinity.0)) * count as u128) >> u64::BITS) as usize
}

/// The output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every bit of the label
/// changes every bit of the result with probability one half.
const fn mix(label: u64) -> u64 {
    let z = label.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
