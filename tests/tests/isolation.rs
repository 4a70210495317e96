//! Isolation: what an activity does, whatever it is, takes nothing from what another is entitled to
//! (paper, sections 3.1 and 4.2). All figures are cycles that the kernel has accounted.

use vortex_tests::root_disk::RootDisk;
use vortex_tests::sampled::{Sampled, Samples};
use xtask::linux::Unpacked;
use xtask::samples::{Entitled, Report, Sample, analyse};

/// The part of its entitlement that a neighbour keeps at least.
const KEPT: f64 = 0.95;
/// Percentage points that an antagonist may be above its share.
const ABOVE: f64 = 1.0;
/// The part of elapsed cycles that may be in no account.
const UNACCOUNTED: f64 = 0.000_01;

const NEIGHBOUR: &str = "neighbour";
const ANTAGONIST: &str = "antagonist";

/// Two activities of equal weight, one of them CPU-bound on all cores.
fn beside_a_hog(smp: u32) -> Sampled {
    Sampled::new(smp)
        .activity(NEIGHBOUR, 50)
        .activity(ANTAGONIST, 50)
        .process(NEIGHBOUR, "/bin/cpuhog")
}

/// The neighbour keeps its half of each core, and the antagonist has no more than the other half,
/// of the whole time: what the kernel does for nobody in particular is missing in the sum. What the
/// programs wrote.
#[track_caller]
fn isolated(what: &str, sampled: &Sampled) -> Vec<String> {
    let Samples { samples, lines } = sampled.run();
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let mut failures = Vec::new();
    for core in 0..first.cores.len() {
        let (from, to) = (&first.cores[core], &last.cores[core]);
        let elapsed = float(to.elapsed - from.elapsed);
        let points = |cycles: u64| float(cycles) / elapsed * 100.0;
        let used = |activity| points(last.cycles(activity, core) - first.cycles(activity, core));
        let (neighbour, antagonist) = (used(NEIGHBOUR), used(ANTAGONIST));
        println!(
            "{what}, core {core} of {}, {:.2} s: neighbour {neighbour:.3} %, antagonist \
             {antagonist:.3} %, infrastructure {:.3} %, sampler {:.3} %, scheduling {:.3} %, \
             interrupts {:.3} %, idle {:.3} %, {} cycles in no account",
            first.cores.len(),
            seconds(first, last),
            used("infrastructure"),
            used("sampler"),
            points(to.scheduling - from.scheduling),
            points(to.interrupt - from.interrupt),
            points(to.idle - from.idle),
            to.unaccounted - from.unaccounted,
        );
        if neighbour < KEPT * 50.0 || antagonist > 50.0 + ABOVE {
            failures.push(core);
        }
    }
    assert!(failures.is_empty(), "{what}: see cores {failures:?}");
    nothing_is_lost(what, &samples);
    lines
}

#[track_caller]
fn nothing_is_lost(what: &str, samples: &[Sample]) {
    for pair in samples.windows(2) {
        for (from, to) in pair[0].cores.iter().zip(&pair[1].cores) {
            let lost = (to.unaccounted - from.unaccounted).unsigned_abs();
            let part = float(lost) / float((to.elapsed - from.elapsed).max(1));
            assert!(part < UNACCOUNTED, "{what}: {lost} cycles in no account");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares need no 53 bits")]
fn float(cycles: u64) -> f64 {
    cycles as f64
}

fn seconds(from: &Sample, to: &Sample) -> f64 {
    float(to.at - from.at) / float(from.hertz)
}

/// What an activity used between two samples, on all cores.
fn used(from: &Sample, to: &Sample, activity: &str) -> f64 {
    let cycles = |sample: &Sample| -> u64 {
        let cores = 0..sample.cores.len();
        cores.map(|core| sample.cycles(activity, core)).sum()
    };
    float(cycles(to) - cycles(from))
}

/// The percentages of `activities` in what they used together.
fn shares<const N: usize>(from: &Sample, to: &Sample, activities: [&str; N]) -> [f64; N] {
    let cycles = activities.map(|activity| used(from, to, activity));
    let all: f64 = cycles.iter().sum();
    cycles.map(|own| own / all.max(1.0) * 100.0)
}

#[test]
fn a_thousand_threads() {
    for smp in [1, 2] {
        let stress = "/bin/stress threads --amount 1000";
        isolated("threads", &beside_a_hog(smp).process(ANTAGONIST, stress));
    }
}

#[test]
fn nothing_but_calls() {
    let stress = "/bin/stress calls";
    isolated("calls", &beside_a_hog(1).process(ANTAGONIST, stress));
}

#[test]
fn nothing_but_page_faults() {
    for smp in [1, 2] {
        let stress = "/bin/stress faults";
        isolated("faults", &beside_a_hog(smp).process(ANTAGONIST, stress));
    }
}

#[test]
fn sleeps_of_100_microseconds() {
    let stress = "/bin/stress sleeps";
    isolated("sleeps", &beside_a_hog(1).process(ANTAGONIST, stress));
}

#[test]
fn timers_of_a_microsecond() {
    let stress = "/bin/stress timers --amount 200";
    isolated("timers", &beside_a_hog(1).process(ANTAGONIST, stress));
}

#[test]
fn nothing_but_signals() {
    let stress = "/bin/stress signals";
    isolated("signals", &beside_a_hog(1).process(ANTAGONIST, stress));
}

#[test]
fn many_processes_are_one_share() {
    for smp in [1, 2] {
        let sampled = (0..8).fold(beside_a_hog(smp), |sampled, _| {
            sampled.process(ANTAGONIST, "/bin/cpuhog")
        });
        isolated("processes", &sampled);
    }
}

/// All of them at once are one share, too.
#[test]
fn everything_at_once() {
    let stresses = [
        "threads --amount 200",
        "calls",
        "faults",
        "sleeps",
        "signals",
    ];
    let sampled = stresses.iter().fold(beside_a_hog(2), |sampled, what| {
        sampled.process(ANTAGONIST, &format!("/bin/stress {what}"))
    });
    isolated("everything", &sampled);
}

/// Debian's own, as it is, with its libraries: it computes, synchronises its disk, fills memory, forks,
/// and ends well. `cargo xtask experiment isolation --beside stress-ng` is for as long as one likes.
#[test]
fn stress_ng() {
    const PATH: &str = "/usr/bin/stress-ng";
    let files = match Unpacked::program("stress-ng", PATH) {
        Ok(files) => files,
        Err(error) => return eprintln!("nothing is tested: {error:#}"),
    };
    let disk = RootDisk::with(64, &[], &files);
    let stressors = "--cpu 1 --io 1 --vm 1 --vm-bytes 16M --fork 1 --timeout 5 --temp-path /tmp";
    let sampled = beside_a_hog(1)
        .process(ANTAGONIST, &format!("{PATH} {stressors}"))
        .seconds(9)
        .on(&disk);
    let lines = isolated("stress-ng", &sampled);
    let says = |what: &str| lines.iter().any(|line| line.contains(what));
    let all = lines.join("\n");
    assert!(says("dispatching hogs: 1 cpu, 1 io, 1 vm, 1 fork"), "{all}");
    assert!(says("successful run completed"), "{all}");
}

/// The first sample that is `milliseconds` or more after sample `from`.
fn after(samples: &[Sample], from: usize, milliseconds: u64) -> &Sample {
    let due = samples[from].at + samples[from].hertz * milliseconds / 1000;
    let later = samples[from..].iter().find(|sample| sample.at >= due);
    later.expect("the guest is sampled for longer")
}

#[test]
fn weights_that_change_take_effect_within_100_ms() {
    let changes = [(40, 80), (80, 20), (120, 50)];
    let mut sampled = Sampled::new(1)
        .activity("left", 50)
        .activity("right", 50)
        .process("left", "/bin/cpuhog")
        .process("right", "/bin/cpuhog")
        .seconds(8)
        .sampler(&["--interval", "50"]);
    for (sample, left) in changes {
        for (activity, weight) in [("left", left), ("right", 100 - left)] {
            sampled = sampled.sampler(&["--set", &format!("{sample}:{activity}:{weight}000")]);
        }
    }
    let Samples { samples, .. } = sampled.run();
    let mut wrong = Vec::new();
    let mut expect = |from: &Sample, to: &Sample, left: i32, bound: f64| {
        let [received, _] = shares(from, to, ["left", "right"]);
        let long = seconds(from, to) * 1000.0;
        println!("weights: {left} % entitled, {received:.3} % received in {long:.0} ms");
        if (received - f64::from(left)).abs() > bound {
            wrong.push((left, received));
        }
    };
    expect(&samples[0], &samples[40], 50, 1.0);
    for (sample, left) in changes {
        let from = after(&samples, sample, 100);
        // 40 timeslices; one of them is 2.5 points.
        expect(from, after(&samples, sample, 300), left, 4.0);
        expect(from, after(&samples, sample, 1500), left, 1.0);
    }
    assert!(wrong.is_empty(), "not as entitled: {wrong:?}");
    nothing_is_lost("weights", &samples);
}

#[test]
fn who_sleeps_gives_its_share_away_and_gets_it_back_at_once() {
    let names = ["sleeper", "second", "third"];
    let Samples { samples, .. } = Sampled::new(1)
        .activity("sleeper", 50)
        .activity("second", 33)
        .activity("third", 17)
        .process("sleeper", "/bin/cpuhog --pause-ms 1000")
        .process("second", "/bin/cpuhog")
        .process("third", "/bin/cpuhog")
        .seconds(8)
        .sampler(&["--interval", "50"])
        .run();
    let awake: Vec<bool> = samples
        .windows(2)
        .map(|pair| used(&pair[0], &pair[1], "sleeper") > 0.0)
        .collect();
    let (mut phases, mut wrong) = ([0, 0], Vec::new());
    let mut expect = |from: &Sample, to: &Sample, entitled: [f64; 3], bound: f64| {
        let received = shares(from, to, names);
        let far = |(one, other): (&f64, &f64)| (one - other).abs() > bound;
        let long = seconds(from, to) * 1000.0;
        println!("sleeper: {entitled:.1?} % entitled, {received:.3?} % received in {long:.0} ms");
        if received.iter().zip(&entitled).any(far) {
            wrong.push(received);
        }
    };
    let mut from = 0;
    for phase in awake.chunk_by(|one, other| one == other) {
        // The first and the last sample of a phase may be partly of another.
        let (begin, end) = (from + 1, from + phase.len() - 1);
        from += phase.len();
        if phase.len() < 8 {
            continue;
        }
        phases[usize::from(phase[0])] += 1;
        let entitled = if phase[0] {
            // From the beginning: neither less nor, for what it has not used, more.
            expect(
                &samples[begin],
                &samples[begin + 4],
                [50.0, 33.0, 17.0],
                5.0,
            );
            [50.0, 33.0, 17.0]
        } else {
            [0.0, 66.0, 34.0]
        };
        expect(&samples[begin], &samples[end], entitled, 1.5);
    }
    assert!(
        phases[0] >= 2 && phases[1] >= 2,
        "it did not sleep: {phases:?}"
    );
    assert!(wrong.is_empty(), "not as entitled: {wrong:.3?}");
    nothing_is_lost("sleeper", &samples);
}

/// The bucket of a histogram below whose end so many per mille of its values are.
fn bucket(histogram: &[u64], per_mille: u64) -> usize {
    let all: u64 = histogram.iter().sum();
    let mut below = 0;
    let reached = histogram.iter().position(|count| {
        below += count;
        below * 1000 >= all * per_mille
    });
    reached.expect("there are values")
}

/// A timeslice, in microseconds.
const TIMESLICE_US: f64 = 5000.0;

/// A number in a line of JSON.
fn number(line: &str, name: &str) -> f64 {
    let from = line.split(&format!("\"{name}\":")).nth(1);
    let text = from.and_then(|text| text.split([',', '}']).next());
    let number = text.and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("no number {name} in {line}"))
}

#[test]
fn an_interactive_process_waits_less_than_a_timeslice() {
    let Samples { samples, lines } = Sampled::new(1)
        .activity("first", 45)
        .activity("second", 45)
        .activity("interactive", 10)
        .process("first", "/bin/cpuhog")
        .process("second", "/bin/cpuhog")
        .process("interactive", "/bin/latency --count 2000")
        .seconds(8)
        .sampler(&["--waiting", "resource.thread"])
        .run();
    let own = lines.iter().find(|line| line.contains("p99"));
    let own = own.expect("it has ended before the last sample");
    println!("latency: as it measured itself: {own}");
    let waiting = |sample: &Sample| {
        let mut activities = sample.activities.iter();
        let found = activities.find(|activity| activity.name == "interactive");
        found.expect("it has an account").waiting.clone()
    };
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let pairs = waiting(last).into_iter().zip(waiting(first));
    let histogram: Vec<u64> = pairs.map(|(to, from)| to - from).collect();
    let count: u64 = histogram.iter().sum();
    let end = |per_mille| {
        let cycles = 1_u64 << (bucket(&histogram, per_mille) + 1);
        float(cycles) / float(first.hertz) * 1e6
    };
    println!(
        "latency: {count} waits for the processor, p50 below {:.1} us, p99 below {:.1} us, all \
         below {:.1} us",
        end(500),
        end(990),
        end(1000)
    );
    assert!(count > 500, "only {count} waits");
    assert!(end(990) < TIMESLICE_US && number(own, "p99_us") < TIMESLICE_US);
    nothing_is_lost("latency", &samples);
}

/// Figure 8, briefly: the exact figures are those of `cargo xtask experiment cpu`.
fn figure_8(smp: u32) -> Report {
    let weights = [("a", 50), ("b", 33), ("c", 17)];
    let sampled = weights
        .iter()
        .fold(Sampled::new(smp), |sampled, (name, weight)| {
            sampled.activity(name, *weight).process(name, "/bin/cpuhog")
        });
    let Samples { samples, .. } = sampled.seconds(6).run();
    nothing_is_lost("figure 8", &samples);
    let entitled = weights.map(|(name, weight)| Entitled {
        activity: name.into(),
        share: f64::from(weight) / 100.0,
    });
    let report = analyse(&samples, &entitled).expect("the samples are complete");
    println!(
        "figure 8 on {smp} cores, {:.1} s: {:.4} points off, a sample {:.4} points, {:.7} % in \
         no account",
        report.seconds,
        report.deviation,
        report.sample_deviation,
        report.unaccounted * 100.0
    );
    report
}

#[test]
fn cpu_time_is_shared_as_configured() {
    for smp in [1, 2, 4] {
        let report = figure_8(smp);
        assert!(report.deviation < 0.5, "{report:?}");
        assert!(report.unaccounted < UNACCOUNTED, "{report:?}");
    }
}
