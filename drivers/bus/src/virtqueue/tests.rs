use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::fake::FakeBus;
use crate::fake::queue::DeviceQueue;

fn pair(size: u16) -> (FakeBus, Virtqueue<FakeBus>, DeviceQueue) {
    let mut bus = FakeBus::default();
    let queue = Virtqueue::new(&mut bus, size).expect("there is memory");
    let device = DeviceQueue::new(bus.ram.clone(), queue.addresses(), queue.size());
    (bus, queue, device)
}

fn buffers(count: usize, first: u64) -> Vec<Buffer> {
    let buffer = |number| Buffer {
        address: first + 4096 * number,
        length: 100,
    };
    (0..count as u64).map(buffer).collect()
}

#[test]
fn sizes_are_powers_of_two_within_the_limit() {
    for (wanted, given) in [
        (0, 2),
        (2, 2),
        (3, 2),
        (127, 64),
        (256, 256),
        (u16::MAX, 1024),
    ] {
        assert_eq!(pair(wanted).1.size(), given);
    }
}

#[test]
fn a_full_queue_refuses_and_goes_on_after_a_chain_came_back() {
    let (_bus, mut queue, mut device) = pair(4);
    let three = buffers(3, 0x1000);
    let token = queue.add(&three[..1], &three[1..]).expect("room for three");
    assert_eq!(queue.add(&three[..2], &[]), Err(QueueFull));
    assert_eq!(queue.add(&[], &[]), Err(QueueFull), "nothing is no chain");
    assert_eq!(queue.free(), 1);
    assert_eq!(queue.take_used(), Ok(None));
    let chain = device.take().expect("one is there");
    assert_eq!(chain.readable, three[..1]);
    assert_eq!(chain.writable, three[1..]);
    device.put(chain.head.into(), 200);
    assert_eq!(
        queue.take_used(),
        Ok(Some(Used {
            token,
            written: 200
        }))
    );
    assert_eq!(queue.free(), 4);
}

#[test]
fn the_device_may_not_want_to_be_notified() {
    let (_bus, mut queue, mut device) = pair(4);
    assert!(queue.wants_notification());
    device.set_flags(1);
    assert!(!queue.wants_notification());
}

#[test]
fn the_device_is_not_to_interrupt_before_it_is_armed() {
    let (_bus, mut queue, mut device) = pair(4);
    assert!(device.wants_interrupt(0));
    queue.disarm();
    assert!(!device.wants_interrupt(0));
    assert!(!queue.arm(1));
    assert!(device.wants_interrupt(0));
    queue.add(&buffers(1, 0), &[]).expect("there is room");
    let chain = device.take().expect("one is there");
    device.put(chain.head.into(), 0);
    assert!(queue.arm(1), "it has used one already");
    assert!(!queue.arm(2));
}

/// All through the wrap of the indices: batches of one to three, of which the last is asked for.
#[test]
fn with_the_event_index_each_side_is_told_once() {
    let (_bus, mut queue, mut device) = pair(4);
    queue.use_event_index();
    device.use_event_index();
    for round in 0..30_000_u32 {
        let batch = 1 + round % 3;
        for _ in 0..batch {
            queue.add(&buffers(1, 0), &[]).expect("there is room");
        }
        assert!(queue.wants_notification(), "round {round}");
        assert!(!queue.wants_notification(), "it was told");
        assert!(!queue.arm(batch as u16));
        for number in 1..=batch {
            let chain = device.take().expect("one is there");
            let before = device.put(chain.head.into(), 0);
            assert_eq!(device.wants_interrupt(before), number == batch);
        }
        assert!(queue.arm(batch as u16));
        assert!(!queue.arm(batch as u16 + 1));
        device.want_notification();
        while queue.take_used().expect("it is right").is_some() {}
    }
}

#[test]
fn with_the_event_index_a_device_that_works_is_left_alone() {
    let (_bus, mut queue, mut device) = pair(8);
    queue.use_event_index();
    device.use_event_index();
    let buffer = buffers(1, 0);
    queue.add(&buffer, &[]).expect("there is room");
    assert!(queue.wants_notification());
    // It has not come to ask for more.
    for _ in 0..3 {
        queue.add(&buffer, &[]).expect("there is room");
        assert!(!queue.wants_notification());
    }
    while device.take().is_some() {}
    device.want_notification();
    queue.add(&buffer, &[]).expect("there is room");
    assert!(queue.wants_notification());
}

/// What a device may say that it must not.
#[test]
fn nonsense_breaks_the_queue() {
    let lies: [fn(&mut DeviceQueue, u32); 5] = [
        |device, head| {
            device.put(head + 1, 0);
        },
        |device, _| {
            device.put(4, 0);
        },
        |device, _| {
            device.put(u32::MAX, 0);
        },
        |device, head| {
            device.put(head | 1 << 16, 0);
        },
        |device, _| device.set_used_index(5),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let (_bus, mut queue, mut device) = pair(4);
        let three = buffers(3, 0x1000);
        queue.add(&three[..1], &three[1..]).expect("room for three");
        let head = device.take().expect("one is there").head;
        lie(&mut device, head.into());
        assert_eq!(queue.take_used(), Err(QueueBroken), "lie {number}");
        assert_eq!(queue.take_used(), Err(QueueBroken), "for good");
        assert_eq!(queue.add(&three, &[]), Err(QueueFull), "and takes no more");
    }
}

#[test]
fn no_more_was_written_than_there_was_room_for() {
    let (_bus, mut queue, mut device) = pair(4);
    let three = buffers(3, 0x1000);
    let token = queue.add(&three[..1], &three[1..]).expect("room for three");
    let head = device.take().expect("one is there").head;
    device.put(head.into(), u32::MAX);
    let written = 200;
    assert_eq!(queue.take_used(), Ok(Some(Used { token, written })));
}

#[test]
fn a_chain_comes_back_once() {
    let (_bus, mut queue, mut device) = pair(4);
    let token = queue.add(&buffers(1, 0), &[]).expect("room");
    device.put(token.0.into(), 0);
    device.put(token.0.into(), 0);
    assert!(matches!(queue.take_used(), Ok(Some(_))));
    assert_eq!(queue.take_used(), Err(QueueBroken));
}

#[test]
fn indices_wrap() {
    let (_bus, mut queue, mut device) = pair(4);
    for number in 0..70_000_u64 {
        let chain = buffers(2, number << 12);
        let token = queue.add(&chain, &[]).expect("an empty queue");
        let taken = device.take().expect("one is there");
        assert_eq!(taken.readable, chain);
        device.put(taken.head.into(), 0);
        assert_eq!(queue.take_used(), Ok(Some(Used { token, written: 0 })));
    }
}

proptest! {
    /// Chains of any lengths, finished in any order: each arrives as it was added, and comes back
    /// once.
    #[test]
    fn chains_arrive_and_come_back(
        steps in prop::collection::vec((any::<bool>(), 1_usize..6, any::<prop::sample::Index>()), 1..400),
    ) {
        let (_bus, mut queue, mut device) = pair(16);
        let mut sent: VecDeque<(Token, Vec<Buffer>)> = VecDeque::new();
        let mut with_device: BTreeMap<u16, u32> = BTreeMap::new();
        let mut number = 0;
        for (add, length, which) in steps {
            if add {
                number += 1;
                let chain = buffers(length, number << 20);
                match queue.add(&chain[..length / 2], &chain[length / 2..]) {
                    Ok(token) => sent.push_back((token, chain)),
                    Err(QueueFull) => prop_assert!(usize::from(queue.free()) < length),
                }
                continue;
            }
            while let Some(chain) = device.take() {
                let (token, expected) = sent.pop_front().expect("it was added");
                prop_assert_eq!(chain.head, token.0);
                let got: Vec<_> = [chain.readable, chain.writable.clone()].concat();
                prop_assert_eq!(got, expected);
                with_device.insert(token.0, 100 * chain.writable.len() as u32);
            }
            if with_device.is_empty() {
                prop_assert_eq!(queue.take_used(), Ok(None));
                continue;
            }
            let head = *which.get(&with_device.keys().copied().collect::<Vec<_>>());
            let written = with_device.remove(&head).expect("it is there");
            device.put(head.into(), written);
            prop_assert_eq!(queue.take_used(), Ok(Some(Used { token: Token(head), written })));
        }
    }

    /// Whatever the device writes into its ring, the driver neither panics nor takes back what it
    /// has not given.
    #[test]
    fn any_used_ring_is_survived(
        entries in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u16>()), 1..40),
    ) {
        let (_bus, mut queue, mut device) = pair(8);
        let mut out = 0;
        for (head, written, index) in entries {
            out += i32::from(queue.add(&buffers(1, 0), &buffers(1, 4096)).is_ok());
            device.put(head % 16, written % 256);
            if index % 8 == 0 {
                device.set_used_index(index);
            }
            while let Ok(Some(used)) = queue.take_used() {
                out -= 1;
                prop_assert!(used.written <= 100);
                prop_assert!(out >= 0);
            }
        }
    }
}
