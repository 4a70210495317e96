//! Measurements against timers that are simulated, stuck or missing; conversions against exact
//! arithmetic.

use std::cell::Cell;

use proptest::prelude::*;

use super::calibrate::{Reference, measure};
use super::sources::{HpetCounter, Pit, PmTimerPort};
use super::*;
use crate::io::{Ports, Registers};

/// A machine in which every access takes some time; time is what the tests look at.
struct Machine {
    /// Picoseconds since its start.
    time: Cell<u64>,
    /// Picoseconds that each access takes, in turn.
    steps: Vec<u64>,
    accesses: Cell<usize>,
}

const PICOSECONDS: u128 = 1_000_000_000_000;

impl Machine {
    fn new(steps: &[u64]) -> Self {
        Self {
            time: Cell::new(0),
            steps: steps.to_vec(),
            accesses: Cell::new(0),
        }
    }

    /// What a counter of this rate shows now, after the access took its time.
    fn count(&self, hertz: u64) -> u64 {
        let access = self.accesses.replace(self.accesses.get() + 1);
        self.time
            .set(self.time.get() + self.steps[access % self.steps.len()]);
        let count = u128::from(self.time.get()) * u128::from(hertz) / PICOSECONDS;
        u64::try_from(count).expect("a short test")
    }
}

/// All three timers of a machine, as registers and ports.
struct Timers<'a> {
    machine: &'a Machine,
    /// The time after which they stop counting, in picoseconds.
    stops: u64,
    latched: Vec<u8>,
    gate: u8,
}

impl<'a> Timers<'a> {
    fn new(machine: &'a Machine) -> Self {
        Self {
            machine,
            stops: u64::MAX,
            latched: Vec::new(),
            gate: 0xfe,
        }
    }

    fn count(&self, hertz: u64) -> u64 {
        let count = self.machine.count(hertz);
        let last = u128::from(self.stops) * u128::from(hertz) / PICOSECONDS;
        count.min(u64::try_from(last).unwrap_or(u64::MAX))
    }
}

impl Registers for Timers<'_> {
    fn read8(&self, _: usize) -> u8 {
        unreachable!("the HPET has 32-bit registers")
    }

    fn read16(&self, _: usize) -> u16 {
        unreachable!("the HPET has 32-bit registers")
    }

    fn read32(&self, offset: usize) -> u32 {
        match offset {
            4 => 10_000_000,
            0xf0 => self.count(100_000_000) as u32,
            _ => 0,
        }
    }

    fn write8(&mut self, _: usize, _: u8) {
        unreachable!("the HPET has 32-bit registers")
    }

    fn write16(&mut self, _: usize, _: u16) {
        unreachable!("the HPET has 32-bit registers")
    }

    fn write32(&mut self, offset: usize, value: u32) {
        assert_eq!(
            (offset, value),
            (0x10, 1),
            "the counter is started and nothing else"
        );
    }
}

impl Ports for Timers<'_> {
    fn read8(&mut self, port: u16) -> u8 {
        match port {
            0x42 => self.latched.pop().expect("latched before"),
            0x61 => self.gate,
            _ => 0xff,
        }
    }

    fn read16(&mut self, _: u16) -> u16 {
        u16::MAX
    }

    fn read32(&mut self, port: u16) -> u32 {
        assert_eq!(port, 0x608);
        // The upper byte is noise when the timer has 24 bits.
        (self.count(3_579_545) as u32 & 0xff_ffff) | 0xa500_0000
    }

    fn write8(&mut self, port: u16, value: u8) {
        match (port, value) {
            (0x43, 0x80) => {
                let down = (self.count(1_193_182) as u16).wrapping_neg();
                self.latched = vec![(down >> 8) as u8, down as u8];
            }
            (0x61, value) => self.gate = value,
            _ => {}
        }
    }

    fn write16(&mut self, _: u16, _: u16) {}

    fn write32(&mut self, _: u16, _: u32) {}
}

/// Measures a counter of `hertz` against each of the three timers.
fn measure_all(
    hertz: u64,
    steps: &[u64],
    prepare: impl Fn(&mut Timers<'_>),
) -> [Result<u64, CalibrationError>; 3] {
    fn one(
        machine: &Machine,
        hertz: u64,
        reference: &mut impl Reference,
    ) -> Result<u64, CalibrationError> {
        measure(reference, || machine.count(hertz))
    }
    let machines = [
        Machine::new(steps),
        Machine::new(steps),
        Machine::new(steps),
    ];
    let mut timers = machines.each_ref().map(Timers::new);
    timers.iter_mut().for_each(prepare);
    let [first, mut second, mut third] = timers;
    [
        one(
            &machines[0],
            hertz,
            &mut HpetCounter::start(first).expect("it is an HPET"),
        ),
        one(
            &machines[1],
            hertz,
            &mut PmTimerPort {
                ports: &mut second,
                port: 0x608,
                wide: false,
            },
        ),
        one(&machines[2], hertz, &mut Pit::start(&mut third)),
    ]
}

fn assert_near(measured: Result<u64, CalibrationError>, hertz: u64) {
    let measured = measured.expect("the timer counts");
    let off = measured.abs_diff(hertz);
    assert!(off < hertz / 500, "measured {measured} for {hertz}");
}

#[test]
fn each_timer_gives_the_rate() {
    for hertz in [100_000_000, 2_995_200_000, 5_000_000_000] {
        for measured in measure_all(hertz, &[900_000, 1_100_000], |_| {}) {
            assert_near(measured, hertz);
        }
    }
}

#[test]
fn reads_that_come_late_now_and_then_do_no_harm() {
    // Every 97th access takes 300 µs: the core was away.
    let mut steps = vec![1_000_000; 97];
    steps[50] = 300_000_000;
    for measured in measure_all(3_000_000_000, &steps, |_| {}) {
        assert_near(measured, 3_000_000_000);
    }
}

#[test]
fn reads_that_often_come_late_do_no_harm_either() {
    // Every 7th access takes 50 µs: of several reads at each end, some are undisturbed.
    let mut steps = vec![1_000_000; 7];
    steps[3] = 50_000_000;
    for measured in measure_all(3_000_000_000, &steps, |_| {}) {
        assert_near(measured, 3_000_000_000);
    }
}

#[test]
fn a_timer_that_never_counts_is_given_up_soon() {
    let machine = Machine::new(&[1_000_000]);
    let mut timers = Timers::new(&machine);
    timers.stops = 0;
    let mut hpet = HpetCounter::start(timers).expect("it is an HPET");
    let measured = measure(&mut hpet, || machine.count(3_000_000_000));
    assert_eq!(measured, Err(CalibrationError::Stuck));
    let accesses = machine.accesses.get();
    assert!(
        accesses < 200_000,
        "{accesses} accesses, less than a second of them"
    );
}

#[test]
fn a_timer_that_never_counts_is_stuck() {
    let never = |timers: &mut Timers<'_>| timers.stops = 0;
    for measured in measure_all(3_000_000_000, &[1_000_000], never) {
        assert_eq!(measured, Err(CalibrationError::Stuck));
    }
}

#[test]
fn a_timer_that_stops_is_stuck() {
    // After 5 of the 10 milliseconds that all measurements take.
    let stops = |timers: &mut Timers<'_>| timers.stops = 5_000_000_000;
    for measured in measure_all(3_000_000_000, &[1_000_000], stops) {
        assert_eq!(measured, Err(CalibrationError::Stuck));
    }
}

#[test]
fn a_counter_that_stands_still_is_implausible() {
    let machine = Machine::new(&[1_000_000]);
    let mut hpet = HpetCounter::start(Timers::new(&machine)).expect("it is an HPET");
    assert_eq!(
        measure(&mut hpet, || 7),
        Err(CalibrationError::Implausible(0))
    );
}

/// Registers that all read the same: no device, or something else.
struct Constant(u32);

impl Registers for Constant {
    fn read8(&self, _: usize) -> u8 {
        0xff
    }

    fn read16(&self, _: usize) -> u16 {
        0xffff
    }

    fn read32(&self, _: usize) -> u32 {
        self.0
    }

    fn write8(&mut self, _: usize, _: u8) {}

    fn write16(&mut self, _: usize, _: u16) {}

    fn write32(&mut self, _: usize, _: u32) {}
}

#[test]
fn what_is_no_hpet_is_left_alone() {
    assert!(HpetCounter::start(Constant(u32::MAX)).is_none());
    assert!(HpetCounter::start(Constant(0)).is_none());
}

#[test]
fn the_8254_is_started_with_the_speaker_off() {
    let machine = Machine::new(&[1]);
    let mut timers = Timers::new(&machine);
    Pit::start(&mut timers);
    assert_eq!(timers.gate, 0xfd);
}

#[test]
fn waiting_ends_with_the_condition_or_the_time() {
    let mut asked = 0;
    assert!(wait_for(Duration::from_secs(3600), || {
        asked += 1;
        asked == 3
    }));
    assert!(!wait_for(Duration::from_nanos(10), || false));
    assert!(wait_for(Duration::ZERO, || true));
}

#[test]
fn no_rate_is_no_rate() {
    assert_eq!(Rate::new(0), None);
    assert_eq!(
        Rate::new(1_000_000_000).map(|rate| rate.nanoseconds(u64::MAX)),
        Some(u64::MAX)
    );
    assert_eq!(
        Rate::new(1).map(|rate| rate.nanoseconds(1)),
        Some(1_000_000_000)
    );
    assert_eq!(
        Rate::new(1).map(|rate| rate.nanoseconds(u64::MAX)),
        Some(u64::MAX)
    );
    assert_eq!(
        Rate::new(u64::MAX).map(|rate| rate.cycles(u64::MAX)),
        Some(u64::MAX)
    );
}

proptest! {
    #[test]
    fn nanoseconds_are_right_to_the_last_one(
        hertz in prop_oneof![1u64.., 1_000_000..10_000_000_000u64],
        cycles in prop_oneof![any::<u64>(), 0..1_000_000_000_000u64],
    ) {
        let rate = Rate::new(hertz).expect("not zero");
        let exact = u128::from(cycles) * 1_000_000_000 / u128::from(hertz);
        let exact = u64::try_from(exact).unwrap_or(u64::MAX);
        let got = rate.nanoseconds(cycles);
        prop_assert!(got <= exact, "rounds down: {got} for {exact}");
        // One part in 2^32 for what is lost in the multiplier, and one for rounding.
        prop_assert!(exact - got <= 1 + (exact >> 32), "{got} for {exact}");
    }

    #[test]
    fn cycles_are_exact(hertz in 1u64.., nanoseconds: u64) {
        let exact = u128::from(nanoseconds) * u128::from(hertz) / 1_000_000_000;
        let exact = u64::try_from(exact).unwrap_or(u64::MAX);
        prop_assert_eq!(Rate::new(hertz).expect("not zero").cycles(nanoseconds), exact);
    }

    #[test]
    fn time_never_runs_backwards(hertz in 1u64.., cycles: u64, more in 0u64..1000) {
        let rate = Rate::new(hertz).expect("not zero");
        prop_assert!(rate.nanoseconds(cycles) <= rate.nanoseconds(cycles.saturating_add(more)));
    }
}
