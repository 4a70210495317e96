//! Parts of a file (RFC 9110, section 14).

/// What a client asks for of a file, by its `Range` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: no range was given, or none that is understood, or several.
    Whole,
    /// From the first byte up to and without the second; not empty.
    Bytes(u64, u64),
    /// A range that has nothing of the file.
    Nothing,
}

/// What the value of a `Range` header means for a file of `length` bytes.
pub(crate) fn part(value: &[u8], length: u64) -> Part {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let Some((first, last)) = text
        .split_once('=')
        .filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"))
        .and_then(|(_, range)| range.trim().split_once('-'))
    else {
        return Part::Whole;
    };
    match (number(first), number(last)) {
        // The last so many bytes.
        (Some(None), Some(Some(count))) => between(length.saturating_sub(count), length),
        (Some(Some(first)), Some(None)) => between(first, length),
        (Some(Some(first)), Some(Some(last))) if first <= last => {
            between(first, last.saturating_add(1).min(length))
        }
        _ => Part::Whole,
    }
}

fn between(start: u64, end: u64) -> Part {
    match start < end {
        true => Part::Bytes(start, end),
        false => Part::Nothing,
    }
}

/// `Some(None)` where there is no number, `None` where there is something else.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        // One that is too large is behind the end of every file.
        .then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_a_range() {
        for (value, expected) in [
            ("bytes=0-0", Part::Bytes(0, 1)),
            ("bytes=10-", Part::Bytes(10, 100)),
            ("bytes=-10", Part::Bytes(90, 100)),
            ("bytes=-1000", Part::Bytes(0, 100)),
            ("Bytes = 5 - 6", Part::Bytes(5, 7)),
            ("bytes=50-10000", Part::Bytes(50, 100)),
            ("bytes=100-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=99999999999999999999-", Part::Nothing),
            ("bytes=6-5", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=1-2,4-5", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(value.as_bytes(), 100), expected, "{value}");
        }
        assert_eq!(part(b"bytes=0-", 0), Part::Nothing);
    }

    proptest! {
        #[test]
        fn a_part_is_within_the_file(value in "bytes=[0-9]{0,20}-[0-9]{0,20}", length in 0_u64..1 << 40) {
            if let Part::Bytes(start, end) = part(value.as_bytes(), length) {
                prop_assert!(start < end && end <= length);
            }
        }

        #[test]
        fn anything_is_understood_or_not(value: Vec<u8>, length: u64) {
            let _ = part(&value, length);
        }
    }
}
