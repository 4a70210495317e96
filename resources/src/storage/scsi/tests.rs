use proptest::prelude::*;

use super::*;

#[test]
fn blocks_are_named_in_the_shortest_form() {
    assert_eq!(
        blocks(Blocks::Read, 0x0102_0304, 0x0506).bytes(),
        [0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0]
    );
    assert_eq!(blocks(Blocks::Write, 7, 1).bytes()[0], 0x2a);
    assert_eq!(blocks(Blocks::Flush, 0, 0).bytes()[0], 0x35);
    let long = blocks(Blocks::Read, 0x01_0203_0405, 0x0600_0000);
    assert_eq!(
        long.bytes(),
        [0x88, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0]
    );
    assert_eq!(blocks(Blocks::Write, 0, 0x1_0000).bytes()[0], 0x8a);
    assert_eq!(blocks(Blocks::Flush, 1 << 32, 0).bytes()[0], 0x91);
}

#[test]
fn capacities_are_bounded() {
    let ten = |last: u32, block: u32| [last.to_be_bytes(), block.to_be_bytes()].concat();
    let found = |blocks, block| Ok(Some(Capacity { blocks, block }));
    assert_eq!(capacity(&ten(99, 512)), found(100, 512));
    assert_eq!(capacity(&ten(99, 4096)), found(100, 4096));
    assert_eq!(capacity(&ten(u32::MAX, 512)), Ok(None));
    for block in [0, 1, 256, 520, 8192, u32::MAX] {
        assert_eq!(capacity(&ten(99, block)), Err(NoCapacity), "{block}");
    }
    let mut sixteen = [0; 32];
    sixteen[..8].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    sixteen[10] = 2;
    let expected = Capacity {
        blocks: (1 << 40) + 1,
        block: 512,
    };
    assert_eq!(capacity_16(&sixteen), Ok(expected));
    sixteen[..8].copy_from_slice(&u64::MAX.to_be_bytes());
    assert_eq!(capacity_16(&sixteen), Err(NoCapacity));
}

#[test]
fn sense_data_of_both_formats_are_understood() {
    let answer = |sense: &[u8]| {
        let mut all = [0; SENSE_BYTES];
        all[..sense.len()].copy_from_slice(sense);
        judge(&Ok(Response {
            status: 2,
            residue: 0,
            sense: all,
        }))
    };
    let fixed = |key, code| answer(&[0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, 0]);
    let descriptors = |key, code| answer(&[0x72, key, code, 0, 0, 0, 0, 0]);
    for (key, code, verdict) in [
        (1, 0x17, Verdict::Good),
        (2, 0x04, Verdict::Retry),
        (2, 0x3a, Verdict::Gone),
        (3, 0x11, Verdict::Medium),
        (4, 0x44, Verdict::Failed),
        (5, 0x21, Verdict::Failed),
        (5, 0x25, Verdict::Gone),
        (6, 0x29, Verdict::Retry),
        (7, 0x27, Verdict::Protected),
        (0xb, 0x00, Verdict::Retry),
    ] {
        assert_eq!(fixed(key, code), verdict, "key {key:x}");
        assert_eq!(descriptors(key, code), verdict, "key {key:x}");
    }
    assert_eq!(answer(&[]), Verdict::Retry, "no sense data");
}

#[test]
fn a_short_transfer_is_no_success() {
    let response = Response {
        status: 0,
        residue: 512,
        sense: [0; SENSE_BYTES],
    };
    assert_eq!(judge(&Ok(response)), Verdict::Retry);
}

#[test]
fn simple_units_are_listed() {
    let mut data = alloc::vec![0, 0, 0, 32, 0, 0, 0, 0];
    for lun in [[0, 0], [0x41, 2], [0xc1, 1], [0, 3]] {
        data.extend(lun);
        data.extend([0; 6]);
    }
    // The last one is beyond what was returned.
    assert_eq!(luns(&data[..36]), [0, 0x102]);
    assert_eq!(luns(&data), [0, 0x102, 3]);
}

proptest! {
    #[test]
    fn any_data_are_survived(data in prop::collection::vec(any::<u8>(), 0..600)) {
        let _disk = is_disk(&data);
        let _modes = modes(&data);
        prop_assert!(luns(&data).len() <= data.len() / 8);
        if let Ok(Some(found)) = capacity(&data) {
            prop_assert!(found.blocks > 0);
        }
        if let Ok(found) = capacity_16(&data) {
            prop_assert!(found.blocks.checked_mul(found.block.into()).is_some());
        }
    }
}
