use super::*;

const MSS: u32 = 1000;

fn congestion(algorithm: Algorithm) -> Congestion {
    Congestion::new(algorithm, MSS)
}

#[test]
fn slow_start_doubles_and_stops_at_the_threshold() {
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno] {
        let mut window = congestion(algorithm);
        assert_eq!(window.window(), 10_000);
        window.acknowledged(Instant(0), 10_000, Some(1000), true);
        assert_eq!(window.window(), 20_000);
        window.acknowledged(Instant(0), 20_000, Some(1000), false);
        assert_eq!(
            window.window(),
            20_000,
            "it was not what held the sender back"
        );
        window.timed_out(20_000, true);
        let threshold = window.threshold();
        assert_eq!(window.window(), MSS);
        window.acknowledged(Instant(0), threshold - MSS, Some(1000), true);
        assert_eq!(window.window(), threshold);
        window.timed_out(5_000, false);
        assert_eq!(
            window.threshold(),
            threshold,
            "the second timeout lowers nothing"
        );
    }
}

#[test]
fn a_loss_takes_half_or_three_tenths() {
    for (algorithm, expected) in [(Algorithm::Cubic, 70_000), (Algorithm::NewReno, 50_000)] {
        let mut window = congestion(algorithm);
        window.set_window(100_000);
        window.lost(100_000);
        assert_eq!(window.threshold(), expected);
        window.set_window(100_000);
        window.lost(10_000);
        assert!(window.threshold() <= 7_000, "what was in flight counts");
        window.lost(0);
        assert_eq!(window.threshold(), 2 * MSS);
    }
}

#[test]
fn newreno_adds_one_segment_per_window() {
    let mut window = congestion(Algorithm::NewReno);
    window.set_window(20_000);
    window.lost(20_000);
    window.set_window(10_000);
    for expected in 11_u32..30 {
        let bytes = window.window();
        window.acknowledged(Instant(0), bytes, Some(1000), true);
        assert_eq!(window.window(), expected * MSS);
    }
}

#[test]
fn idleness_brings_the_window_back() {
    let mut window = congestion(Algorithm::Cubic);
    window.set_window(100_000);
    window.restart();
    assert_eq!(window.window(), 10_000);
    window.set_window(3_000);
    window.restart();
    assert_eq!(window.window(), 3_000);
}

#[test]
fn another_algorithm_goes_on_from_the_same_window() {
    let mut window = congestion(Algorithm::Cubic);
    window.set_window(50_000);
    window.lost(50_000);
    let (prior, threshold) = (window.clone(), window.threshold());
    window.set_window(threshold);
    window.set_algorithm(Algorithm::NewReno);
    assert_eq!(window.algorithm(), Algorithm::NewReno);
    assert_eq!(
        (window.window(), window.threshold()),
        (threshold, threshold)
    );
    window.acknowledged(Instant(0), threshold, Some(1000), true);
    assert_eq!(window.window(), threshold + MSS, "a segment per window");
    window.take_back(prior, 0, 0);
    assert_eq!(window.algorithm(), Algorithm::NewReno, "chosen since");
    assert!(window.threshold() >= 50_000);
}
