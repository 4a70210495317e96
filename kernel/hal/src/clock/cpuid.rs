//! What CPUID says about the time-stamp counter's rate (Intel SDM volume 2, CPUID leaves 0x15 and
//! 0x16; the hypervisors' leaf 0x40000010).

use raw_cpuid::{CpuId, CpuIdReader, cpuid};

use super::{PLAUSIBLE, Source};

/// The hypervisor leaf with the counter's rate in kHz, as KVM and VMware give it.
const HYPERVISOR_TIMING: u32 = 0x4000_0010;
const HYPERVISOR_FIRST: u32 = 0x4000_0000;

/// The rate in hertz, when CPUID says a plausible one.
pub(super) fn rate() -> Option<(u64, Source)> {
    rate_of(&CpuId::new(), |leaf| cpuid!(leaf).eax)
}

/// The same from any CPUID; `hypervisor` gives EAX of a leaf.
fn rate_of<R: CpuIdReader>(
    cpuid: &CpuId<R>,
    hypervisor: impl Fn(u32) -> u32,
) -> Option<(u64, Source)> {
    let under_hypervisor = cpuid
        .get_feature_info()
        .is_some_and(|info| info.has_hypervisor());
    if under_hypervisor && hypervisor(HYPERVISOR_FIRST) >= HYPERVISOR_TIMING {
        let hertz = u64::from(hypervisor(HYPERVISOR_TIMING)) * 1000;
        if PLAUSIBLE.contains(&hertz) {
            return Some((hertz, Source::Hypervisor));
        }
    }
    let ratio = cpuid
        .get_tsc_info()
        .filter(|ratio| ratio.numerator() != 0)?;
    let denominator = u64::from(ratio.denominator());
    let crystal = u64::from(ratio.nominal_frequency());
    let hertz = if crystal != 0 {
        (crystal * u64::from(ratio.numerator())).checked_div(denominator)?
    } else {
        // Without the crystal's rate, the counter runs at the processor's base rate.
        let base = cpuid
            .get_processor_frequency_info()?
            .processor_base_frequency();
        u64::from(base) * 1_000_000
    };
    PLAUSIBLE.contains(&hertz).then_some((hertz, Source::Cpuid))
}

#[cfg(test)]
mod tests {
    use raw_cpuid::CpuIdResult;

    use super::*;

    /// A CPUID with the given leaves; all others are zero.
    #[derive(Clone)]
    struct Fake(Vec<(u32, [u32; 4])>);

    impl CpuIdReader for Fake {
        fn cpuid2(&self, leaf: u32, _: u32) -> CpuIdResult {
            let found = self.0.iter().find(|(number, _)| *number == leaf);
            let [eax, ebx, ecx, edx] = found.map_or([0; 4], |&(_, registers)| registers);
            CpuIdResult { eax, ebx, ecx, edx }
        }
    }

    const INTEL: (u32, [u32; 4]) = (0, [0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]);

    fn rate_with(leaves: &[(u32, [u32; 4])]) -> Option<(u64, Source)> {
        let mut all = vec![INTEL];
        all.extend(leaves);
        let fake = Fake(all);
        rate_of(&CpuId::with_cpuid_reader(fake.clone()), |leaf| {
            fake.cpuid2(leaf, 0).eax
        })
    }

    #[test]
    fn the_ratio_to_the_crystal_gives_the_rate() {
        let rate = rate_with(&[(0x15, [2, 250, 24_000_000, 0])]);
        assert_eq!(rate, Some((3_000_000_000, Source::Cpuid)));
    }

    #[test]
    fn without_the_crystals_rate_the_base_rate_counts() {
        let rate = rate_with(&[(0x15, [2, 250, 0, 0]), (0x16, [2400, 4000, 100, 0])]);
        assert_eq!(rate, Some((2_400_000_000, Source::Cpuid)));
    }

    #[test]
    fn the_hypervisor_knows_better() {
        let leaves = [
            (1, [0, 0, 1 << 31, 0]),
            (0x15, [2, 250, 24_000_000, 0]),
            (0x4000_0000, [0x4000_0010, 0, 0, 0]),
            (0x4000_0010, [2_500_000, 0, 0, 0]),
        ];
        assert_eq!(
            rate_with(&leaves),
            Some((2_500_000_000, Source::Hypervisor))
        );
        let on_the_metal = rate_with(&leaves[1..]);
        assert_eq!(on_the_metal, Some((3_000_000_000, Source::Cpuid)));
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        assert_eq!(rate_with(&[]), None);
        assert_eq!(rate_with(&[(0x15, [0, 250, 24_000_000, 0])]), None);
        assert_eq!(rate_with(&[(0x15, [2, 0, 24_000_000, 0])]), None);
        assert_eq!(rate_with(&[(0x15, [2, 250, 0, 0])]), None);
        assert_eq!(rate_with(&[(0x15, [1, u32::MAX, u32::MAX, 0])]), None);
    }
}
