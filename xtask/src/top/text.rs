//! Numbers as people read them, in few columns.

/// A part of one, in per cent.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

/// Bytes, in powers of ten.
pub(super) fn bytes(bytes: f64) -> String {
    scaled(bytes, &["B", "kB", "MB", "GB", "TB"])
}

/// How many.
pub(super) fn count(count: f64) -> String {
    if count < 1000.0 && count.fract() == 0.0 {
        return count.to_string();
    }
    if count < 999.5 {
        return three_digits(count);
    }
    let text = scaled(count / 1000.0, &["k", "M", "G", "T"]);
    text.replace(' ', "")
}

/// A time in seconds; a dash for none.
pub(super) fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 1.0 => scaled(seconds * 1e9, &["ns", "µs", "ms"]),
        Some(seconds) => scaled(seconds, &["s", "ks", "Ms", "Gs"]),
    }
}

/// Since when, as hours, minutes and seconds.
pub(super) fn clock(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours}:{minutes:02}:{:02}", seconds % 60)
}

/// With the largest of the units of which there is one, each a thousand of the one before.
fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), units[unit])
}

fn three_digits(value: f64) -> String {
    if value >= 99.95 || value == 0.0 {
        format!("{value:.0}")
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(percent(0.1234), "12.3 %");
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(999.4), "999 B");
        assert_eq!(bytes(999.6), "1.00 kB");
        assert_eq!(bytes(12_345_678.0), "12.3 MB");
        assert_eq!(bytes(1e18), "1000000 TB");
        assert_eq!(count(3.0), "3");
        assert_eq!(count(45.455), "45.5");
        assert_eq!(count(999.7), "1.00k");
        assert_eq!(count(12_345.0), "12.3k");
        assert_eq!(time(None), "–");
        assert_eq!(time(Some(2e-6)), "2.00 µs");
        assert_eq!(time(Some(1.5)), "1.50 s");
        assert_eq!(time(Some(f64::INFINITY)), "inf Gs");
        assert_eq!(clock(3723.9), "1:02:03");
        assert_eq!(clock(f64::INFINITY).len(), "5124095576030431:00:15".len());
    }
}
