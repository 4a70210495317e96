use proptest::prelude::*;

use super::*;

const BLOCKS: u64 = 10_000;

fn table(entries: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut block = alloc::vec![0; 512];
    for (entry, (kind, first, count)) in block[446..510].chunks_exact_mut(16).zip(entries) {
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..16].copy_from_slice(&count.to_le_bytes());
    }
    block[510..].copy_from_slice(&[0x55, 0xaa]);
    block
}

#[test]
fn partitions_of_an_mbr_lie_within_the_disk() {
    let block = table(&[
        (0x83, 2048, 4096),
        (0x83, 9000, 1001),
        (0x05, 100, 100),
        (0x82, 9000, 1000),
    ]);
    let range = |number, first, blocks| Range {
        number,
        first,
        blocks,
    };
    let expected = Mbr::Partitions([range(1, 2048, 4096), range(4, 9000, 1000)].to_vec());
    assert_eq!(mbr(&block, BLOCKS), expected);
    assert_eq!(mbr(&table(&[(0xee, 1, 100)]), BLOCKS), Mbr::Protective);
    assert_eq!(mbr(&[0; 512], BLOCKS), Mbr::None);
    assert_eq!(mbr(&block[..100], BLOCKS), Mbr::None);
    let mut code = block;
    code[446] = 0x33;
    assert_eq!(mbr(&code, BLOCKS), Mbr::None, "the table is code");
}

/// A header at block 1 and its entries.
fn gpt(partitions: &[(u64, u64)]) -> (Vec<u8>, Vec<u8>) {
    let mut entries = alloc::vec![0; 128 * 128];
    for (entry, (first, last)) in entries.chunks_exact_mut(128).zip(partitions) {
        entry[0] = 1;
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
    }
    let mut header = alloc::vec![0; 512];
    header[..8].copy_from_slice(b"EFI PART");
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(12, &92_u32.to_le_bytes());
    put(24, &1_u64.to_le_bytes());
    put(40, &34_u64.to_le_bytes());
    put(48, &(BLOCKS - 34).to_le_bytes());
    put(72, &2_u64.to_le_bytes());
    put(80, &128_u32.to_le_bytes());
    put(84, &128_u32.to_le_bytes());
    put(88, &crc32fast::hash(&entries).to_le_bytes());
    sign(&mut header);
    (header, entries)
}

fn sign(header: &mut [u8]) {
    let checksum = header_checksum(&header[..92]);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn partitions_of_a_gpt_are_checked() {
    let (header, entries) = gpt(&[
        (34, 34),
        (33, 40),
        (100, 99),
        (200, BLOCKS - 33),
        (300, 399),
    ]);
    let found = Gpt::read(&header, 1, BLOCKS).expect("it is sound");
    let expected = [
        Range {
            number: 1,
            first: 34,
            blocks: 1,
        },
        Range {
            number: 5,
            first: 300,
            blocks: 100,
        },
    ];
    assert_eq!(found.partitions(&entries), Some(expected.to_vec()));
    let mut damaged = entries.clone();
    damaged[500] ^= 1;
    assert_eq!(found.partitions(&damaged), None);
    assert_eq!(found.partitions(&entries[..100]), None);
    assert_eq!(Gpt::read(&header, 2, BLOCKS), None, "another block's");
    assert_eq!(Gpt::read(&header, 1, BLOCKS - 34), None, "a smaller disk");
}

/// What a header may say that it must not, its checksum being right.
#[test]
fn headers_that_lie_are_refused() {
    let lies: [(usize, &[u8]); 7] = [
        (12, &91_u32.to_le_bytes()),
        (80, &257_u32.to_le_bytes()),
        (80, &u32::MAX.to_le_bytes()),
        (84, &64_u32.to_le_bytes()),
        (84, &4096_u32.to_le_bytes()),
        (72, &BLOCKS.to_le_bytes()),
        (48, &33_u64.to_le_bytes()),
    ];
    for (at, lie) in lies {
        let (mut header, _) = gpt(&[]);
        header[at..at + lie.len()].copy_from_slice(lie);
        sign(&mut header);
        assert_eq!(Gpt::read(&header, 1, BLOCKS), None, "{lie:?} at {at}");
    }
    let (mut header, _) = gpt(&[]);
    header[41] ^= 1;
    assert_eq!(Gpt::read(&header, 1, BLOCKS), None, "a wrong checksum");
}

proptest! {
    #[test]
    fn any_blocks_are_survived(
        mut block in prop::collection::vec(any::<u8>(), 0..600),
        blocks in any::<u64>(),
        changes in prop::collection::vec((0_usize..92, any::<u8>()), 0..6),
    ) {
        if let Mbr::Partitions(found) = mbr(&block, blocks) {
            for range in found {
                prop_assert!(range.first + range.blocks <= blocks);
            }
        }
        if block.len() > 512 {
            block[510..512].copy_from_slice(&[0x55, 0xaa]);
            for entry in 0..4 {
                block[446 + 16 * entry] = 0;
            }
            if let Mbr::Partitions(found) = mbr(&block, BLOCKS) {
                for range in found {
                    prop_assert!(range.first + range.blocks <= BLOCKS);
                }
            }
        }
        let _header = Gpt::read(&block, 1, blocks);
        let (mut header, entries) = gpt(&[(100, 200)]);
        for (at, byte) in changes {
            header[at] = byte;
        }
        sign(&mut header);
        if let Some(found) = Gpt::read(&header, 1, BLOCKS) {
            for range in found.partitions(&entries).unwrap_or_default() {
                prop_assert!(range.first + range.blocks <= BLOCKS);
            }
        }
    }
}
