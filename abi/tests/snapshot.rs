//! Snapshots: what is written is read, and nothing that is read can do harm.

use proptest::prelude::*;
use vortex_abi::snapshot::{
    Account, BUCKETS, Core, Header, NotASnapshot, Reader, Resource, Writer,
};
use vortex_abi::{Name, Record};

fn header() -> Header {
    Header {
        magic: 0,
        version: 0,
        length: 0,
        taken_at: 12,
        hertz: 1_000_000_000,
        since_boot_ns: 12,
        caller: 1,
        sections: 0,
    }
}

fn account(seed: u64) -> Account {
    Account {
        core: seed,
        resource: seed + 1,
        activity: seed + 2,
        cycles: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        requests: seed + 4,
        bytes: seed + 5,
        memory: seed + 6,
        returned: seed + 7,
        queue_length: seed + 8,
        waiting: [seed; BUCKETS],
        service: core::array::from_fn(|bucket| seed + bucket as u64),
    }
}

fn sample(accounts: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    for seed in 0..accounts {
        writer.push(&account(seed));
    }
    writer.push(&Resource {
        resource: 3,
        name: Name::new("resource.thread"),
    });
    writer.finish(&header())
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample(5);
    let reader = Reader::new(&bytes).expect("a snapshot");
    assert_eq!(reader.header().taken_at, 12);
    assert_eq!(reader.header().length, bytes.len() as u64);
    let accounts: Vec<Account> = reader.records().collect();
    assert_eq!(accounts, (0..5).map(account).collect::<Vec<_>>());
    let resources: Vec<Resource> = reader.records().collect();
    assert_eq!(resources.len(), 1);
    assert_eq!(resources[0].name.as_str(), "resource.thread");
    assert_eq!(reader.records::<Core>().count(), 0);
}

/// A newer kernel has longer records and more sections.
#[test]
fn longer_records_are_read_as_far_as_known() {
    let mut bytes = sample(0);
    let place = Header::SIZE + 24;
    bytes.extend_from_slice(&[0xff; 8]);
    let length = bytes.len() as u64;
    length.encode(&mut bytes[16..]).expect("inside the header");
    (Resource::SIZE as u64 + 8)
        .encode(&mut bytes[place + 16..])
        .expect("inside the directory");
    let reader = Reader::new(&bytes).expect("a snapshot");
    let resources: Vec<Resource> = reader.records().collect();
    assert_eq!(resources.len(), 1);
    assert_eq!(resources[0].resource, 3);
}

#[test]
fn what_is_no_snapshot_is_refused() {
    let bytes = sample(1);
    assert_eq!(
        Reader::new(&bytes[..20]).err(),
        Some(NotASnapshot::Truncated)
    );
    assert_eq!(
        Reader::new(&bytes[..bytes.len() - 1]).err(),
        Some(NotASnapshot::Truncated)
    );
    assert_eq!(Reader::new(&[7; 200]).err(), Some(NotASnapshot::Magic));
}

#[test]
fn unaccounted_cycles_may_be_negative() {
    let core = Core {
        core: 0,
        elapsed: 100,
        attributed: 50,
        scheduling: 30,
        interrupt: 20,
        idle: 3,
    };
    assert_eq!(core.unaccounted(), -3);
}

#[test]
fn names_are_cut_between_characters() {
    let long = "ä".repeat(40);
    assert_eq!(Name::new(&long).as_str(), "ä".repeat(24));
    assert_eq!(Name::new("x").as_str(), "x");
    assert_eq!(Name::from_bytes([0xff; 48]).as_str(), "");
}

proptest! {
    /// Whatever is changed in a snapshot, reading ends, and stays inside the bytes.
    #[test]
    fn damaged_snapshots_do_no_harm(at in 0usize..400, value: u64) {
        let mut bytes = sample(2);
        let at = at.min(bytes.len() - 8);
        value.encode(&mut bytes[at..]).expect("inside");
        if let Ok(reader) = Reader::new(&bytes) {
            prop_assert!(reader.records::<Account>().count() <= bytes.len() / Account::SIZE + 1);
            prop_assert!(reader.records::<Resource>().count() <= bytes.len());
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes: Vec<u8>) {
        if let Ok(reader) = Reader::new(&bytes) {
            prop_assert!(reader.records::<Account>().count() <= bytes.len());
        }
    }
}
