use proptest::prelude::*;

use super::*;

/// A CPU with AVX and protection keys.
fn format() -> &'static Format {
    static FORMAT: Once<Format> = Once::new();
    FORMAT.call_once(|| {
        let mut components = ArrayVec::new();
        components.push(Component {
            bit: AVX,
            place: 576..832,
        });
        components.push(Component {
            bit: PROTECTION_KEYS,
            place: 2688..2696,
        });
        Format {
            method: Method::Xsaveopt,
            enabled: X87_AND_SSE | AVX | PROTECTION_KEYS,
            size: 2696,
            mxcsr_mask: 0x2_ffff,
            components,
        }
    })
}

fn state() -> ExtendedState {
    ExtendedState {
        format: format(),
        area: Area::new(format().size),
    }
}

#[test]
fn avx_512_is_enabled_whole_or_not_at_all() {
    assert_eq!(Format::wanted(0b11), 0b11);
    assert_eq!(Format::wanted(0b111), 0b111);
    assert_eq!(Format::wanted(0xe7), 0xe7);
    assert_eq!(Format::wanted(0x67), 0b111);
    assert_eq!(Format::wanted(0xe3), 0b11);
    // MPX, the tiles of AMX and everything unknown stay off.
    assert_eq!(Format::wanted(u64::MAX), 0x2e7);
}

#[test]
fn what_the_cpu_left_out_is_read_as_initial() {
    let mut state = state();
    let area = state.area.bytes_mut();
    area.fill(0xaa);
    area[PRESENT].copy_from_slice(&AVX.to_le_bytes());
    area[MXCSR].copy_from_slice(&INITIAL_MXCSR.to_le_bytes());
    let bytes = state.bytes();
    assert_eq!(bytes[CONTROL_WORD], INITIAL_CONTROL_WORD.to_le_bytes());
    assert!(
        bytes[2..24]
            .iter()
            .chain(&bytes[32..416])
            .all(|&byte| byte == 0)
    );
    assert!(
        bytes[576..832].iter().all(|&byte| byte == 0xaa),
        "AVX is there"
    );
    assert!(bytes[2688..2696].iter().all(|&byte| byte == 0));
    assert_eq!(bytes[MXCSR], INITIAL_MXCSR.to_le_bytes());
}

#[test]
fn the_legacy_part_alone_resets_the_rest() {
    let mut state = state();
    state.area.bytes_mut().fill(0xaa);
    assert!(state.set_bytes(&[0x55; LEGACY_BYTES]));
    let bytes = state.area.bytes();
    assert_eq!(bytes[PRESENT], X87_AND_SSE.to_le_bytes());
    assert!(bytes[HEADER.start + 8..].iter().all(|&byte| byte == 0));
    assert!(bytes[SSE].iter().all(|&byte| byte == 0x55));
}

#[test]
fn other_lengths_are_refused() {
    let mut state = state();
    let before = state.area.bytes().to_vec();
    for length in [0, 511, 513, 576, 2695, 2697] {
        assert!(!state.set_bytes(&vec![1; length]));
    }
    assert_eq!(state.area.bytes(), before);
}

#[test]
fn what_was_read_can_be_put_back() {
    let mut first = ExtendedState::new();
    let bytes = first.bytes().to_vec();
    let mut second = ExtendedState::new();
    assert!(second.set_bytes(&bytes));
    assert_eq!(second.bytes(), bytes);
}

proptest! {
    /// The conditions of XRSTOR not to fault (Intel SDM volume 1, 13.8.1).
    #[test]
    fn no_bytes_make_loading_fault(bytes in proptest::collection::vec(any::<u8>(), 2696)) {
        let mut state = state();
        prop_assert!(state.set_bytes(&bytes));
        let area = state.area.bytes();
        let present = u64::from_le_bytes(array(&area[PRESENT]));
        prop_assert_eq!(present & !format().enabled, 0);
        prop_assert!(area[HEADER.start + 8..HEADER.end].iter().all(|&byte| byte == 0));
        let mxcsr = u32::from_le_bytes(array(&area[MXCSR]));
        prop_assert_eq!(mxcsr & !format().mxcsr_mask, 0);
        prop_assert_eq!(&area[SSE], &bytes[SSE]);
    }
}
