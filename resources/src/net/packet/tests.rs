use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A packet's header of UDP, over so many bytes.
fn header(length: u16) -> Vec<u8> {
    let mut header = std::vec![0; 28];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[9] = 17;
    header
}

#[test]
fn what_is_sound_is_laid_out() {
    let layout = Layout::of(&header(100), 100);
    let expected = Layout {
        transport: 20,
        payload: 28,
        end: 100,
    };
    assert_eq!(layout, Ok(expected));
    assert_eq!(Layout::of(&header(100), 99), Err(Reason::Malformed));
    assert_eq!(Layout::of(&header(27), 100), Err(Reason::Malformed));
    let mut fragment = header(100);
    fragment[6] = 0x20;
    assert_eq!(Layout::of(&fragment, 100), Err(Reason::Fragment));
}

proptest! {
    /// Whatever arrives, what is said of it lies within it.
    #[test]
    fn no_bytes_are_taken_for_more_than_they_are(
        bytes in prop::collection::vec(any::<u8>(), 0..MAX_HEADER),
        more in 0..2000_usize,
        sound in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if sound && let [first, .., ] = &mut bytes[..] {
            *first = 0x45;
        }
        let length = bytes.len() + more;
        if let Ok(layout) = Layout::of(&bytes, length) {
            prop_assert!(layout.transport >= IP_HEADER);
            prop_assert!(layout.transport <= layout.payload);
            prop_assert!(layout.payload <= layout.end && layout.end <= length);
            prop_assert!(layout.payload <= bytes.len());
        }
    }
}
