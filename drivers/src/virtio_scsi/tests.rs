use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;
use vortex_bus::fake::queue::{DeviceChain, DeviceQueue};
use vortex_bus::fake::{FakeBus, Ram};
use vortex_bus::virtio::{VERSION_1, status};
use vortex_bus::virtqueue::Addresses;
use vortex_resources::storage::adapter::{Cdb, Part, Response};

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A device that does nothing by itself.
struct Device {
    ram: Ram,
    status: u8,
    features: u64,
    queues: BTreeMap<u16, DeviceQueue>,
    /// A reset does not come to its end.
    is_stuck: bool,
    /// Looks after which the pin is let go of.
    acknowledged: usize,
    resets: usize,
}

/// The way to it.
#[derive(Clone)]
struct Link(Arc<Mutex<Device>>);

impl Link {
    fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().expect("no test panics with it")
    }
}

impl Transport for Link {
    fn status(&mut self) -> u8 {
        self.device().status
    }

    fn set_status(&mut self, status: u8) {
        let mut device = self.device();
        if status == 0 {
            device.resets += 1;
            device.queues.clear();
            device.status = u8::from(device.is_stuck);
        } else {
            device.status = status;
        }
    }

    fn features(&mut self) -> u64 {
        self.device().features
    }

    fn accept(&mut self, features: u64) {
        assert_eq!(
            features & !self.device().features,
            0,
            "only what was offered"
        );
    }

    fn queue_limit(&mut self, queue: u16) -> u16 {
        if queue < REQUESTS + 2 { 64 } else { 0 }
    }

    fn set_queue(&mut self, queue: u16, size: u16, addresses: Addresses, _: Option<u16>) {
        let mut device = self.device();
        let own = DeviceQueue::new(device.ram.clone(), addresses, size);
        device.queues.insert(queue, own);
    }

    fn interrupt_on_change(&mut self, _: Option<u16>) {}

    fn acknowledge(&mut self) {
        self.device().acknowledged += 1;
    }

    fn notify(&mut self, queue: u16) {
        assert!(self.device().queues.contains_key(&queue));
    }

    fn configuration(&mut self, offset: usize) -> u32 {
        match offset {
            wire::configuration::QUEUES => 2,
            wire::configuration::PARTS => 10,
            wire::configuration::SECTORS => 1024,
            wire::configuration::MAX_TARGET => 3 << 16,
            _ => 0,
        }
    }

    fn configuration16(&mut self, offset: usize) -> u16 {
        panic!("there are no 16 bits at {offset}")
    }

    fn set_configuration(&mut self, _: usize, _: u32) {}
}

/// The driver, its device, and what the driver has said.
struct Pair {
    driver: VirtioScsi<FakeBus, Link>,
    link: Link,
    master: Arc<std::sync::atomic::AtomicBool>,
    said: Vec<Notice>,
}

fn pair_of(features: u64, is_stuck: bool) -> Pair {
    let bus = FakeBus::default();
    let link = Link(Arc::new(Mutex::new(Device {
        ram: bus.ram.clone(),
        status: 0,
        features,
        queues: BTreeMap::new(),
        is_stuck,
        acknowledged: 0,
        resets: 0,
    })));
    let master = bus.master.clone();
    Pair {
        driver: VirtioScsi::new(bus, link.clone(), 8, 0),
        link,
        master,
        said: Vec::new(),
    }
}

/// A device that has come up.
fn pair() -> Pair {
    let mut pair = pair_of(VERSION_1 | wire::HOTPLUG, false);
    assert_eq!(pair.service(0), [Notice::Ready]);
    pair
}

impl Pair {
    fn service(&mut self, now_ns: u64) -> Vec<Notice> {
        let mut said = Vec::new();
        let before = self.link.device().acknowledged;
        self.driver.service(now_ns, &mut |notice| said.push(notice));
        assert_eq!(self.link.device().acknowledged, before + 1);
        self.said.extend(&said);
        said
    }

    fn submit(&mut self, tag: u32, now_ns: u64) -> Result<(), Refusal> {
        self.driver.submit(&read(tag, 1), 0, now_ns)
    }

    /// Takes what is in one of the device's queues.
    fn take(&self, queue: u16) -> Option<DeviceChain> {
        self.link.device().queues.get_mut(&queue)?.take()
    }

    fn put(&self, queue: u16, head: u32, written: u32) {
        let mut device = self.link.device();
        device
            .queues
            .get_mut(&queue)
            .expect("a queue")
            .put(head, written);
    }

    /// Answers a request.
    fn answer(&self, chain: &DeviceChain, response: &[u8]) {
        let place = chain.writable.first().expect("room for a response");
        self.link.device().ram.write(place.address, response);
        self.put(REQUESTS, chain.head.into(), response.len() as u32);
    }

    /// Answers about a task.
    fn answer_managed(&self, answer: u8) -> Vec<u8> {
        let chain = self.take(CONTROL).expect("a task is to be managed");
        let ram = self.link.device().ram.clone();
        let asked = ram.read(chain.readable[0].address, wire::MANAGE);
        ram.write(chain.writable[0].address, &[answer]);
        self.put(CONTROL, chain.head.into(), 1);
        asked
    }
}

fn read(tag: u32, parts: usize) -> Command {
    let part = |number| Part {
        address: 0x1_0000_0000 + 4096 * number,
        length: 512,
    };
    Command {
        tag: Tag(tag),
        unit: Unit {
            target: 2,
            lun: 0x105,
        },
        cdb: Cdb::new(&[0x28, 0, 0, 0, 0, 9, 0, 0, 1, 0]),
        data: Data::In,
        parts: (0..parts as u64).map(part).collect(),
        timeout_ns: SECOND,
    }
}

/// A response with this status and response code.
fn response(status: u8, code: u8) -> [u8; wire::RESPONSE] {
    let mut bytes = [0; wire::RESPONSE];
    (bytes[10], bytes[11]) = (status, code);
    bytes
}

#[test]
fn a_command_arrives_and_its_answer_comes_back() {
    let mut pair = pair();
    assert_eq!(pair.driver.targets(), [0, 1, 2, 3]);
    let limits = pair.driver.limits();
    assert_eq!((limits.parts, limits.bytes), (10, 512 << 10));
    pair.driver.submit(&read(7, 2), 0, 0).expect("room");
    let chain = pair.take(REQUESTS).expect("it is there");
    assert_eq!(chain.writable.len(), 3, "the response and two parts");
    let request = pair.link.device().ram.read(chain.readable[0].address, 51);
    assert_eq!(request[..8], [1, 2, 0x41, 5, 0, 0, 0, 0]);
    assert_eq!(request[19..29], [0x28, 0, 0, 0, 0, 9, 0, 0, 1, 0]);
    assert_eq!(pair.service(1), [], "nothing yet");
    let mut answer = response(2, 0);
    answer[0] = 18;
    answer[4] = 100;
    answer[12..15].copy_from_slice(&[0x70, 0, 3]);
    pair.answer(&chain, &answer);
    let [Notice::Done(Tag(7), Ok(found))] = pair.service(2)[..] else {
        panic!("{:?}", pair.said);
    };
    assert_eq!((found.status, found.residue), (2, 100));
    assert_eq!(found.sense[..3], [0x70, 0, 3]);
}

#[test]
fn lengths_in_a_response_are_not_believed() {
    let mut pair = pair();
    pair.submit(1, 0).expect("room");
    let chain = pair.take(REQUESTS).expect("it is there");
    let mut answer = response(0, 0);
    answer[..8].fill(0xff);
    pair.answer(&chain, &answer);
    let expected = Response {
        status: 0,
        residue: 512,
        sense: [0; 32],
    };
    assert_eq!(pair.service(1), [Notice::Done(Tag(1), Ok(expected))]);
}

#[test]
fn a_response_that_was_not_written_is_none() {
    let mut pair = pair();
    pair.submit(1, 0).expect("room");
    let chain = pair.take(REQUESTS).expect("it is there");
    pair.put(REQUESTS, chain.head.into(), 0);
    let failed = Notice::Done(Tag(1), Err(Failure::Controller));
    assert_eq!(pair.service(1), [failed]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut pair = pair();
    let refused = pair.driver.submit(&read(0, 11), 0, 0);
    assert_eq!(refused, Err(Refusal::TooLarge));
    let mut taken = 0;
    while pair.submit(taken, 0).is_ok() {
        taken += 1;
    }
    assert_eq!(pair.submit(taken, 0), Err(Refusal::Full));
    assert_eq!(taken, 21, "three descriptors each of 64");
    let other = pair.driver.submit(&read(taken, 1), 1, 0);
    assert_eq!(other, Ok(()), "the other ring has room");
    let chain = pair.take(REQUESTS).expect("it is there");
    pair.answer(&chain, &response(0, 0));
    assert_eq!(pair.service(1).len(), 1);
    assert_eq!(pair.submit(99, 1), Ok(()));
}

#[test]
fn a_late_command_is_aborted() {
    let mut pair = pair();
    pair.submit(1, 0).expect("room");
    let chain = pair.take(REQUESTS).expect("it is there");
    assert_eq!(pair.driver.deadline(), Some(SECOND));
    assert_eq!(pair.service(SECOND), []);
    let asked = pair.answer_managed(0);
    assert_eq!(asked[4..8], [0; 4], "abort");
    assert_eq!(asked[8..12], [1, 2, 0x41, 5]);
    pair.answer(&chain, &response(0, 2));
    let late = Notice::Done(Tag(1), Err(Failure::TimedOut));
    let resets = pair.link.device().resets;
    assert!(pair.service(SECOND + 1).contains(&late));
    assert_eq!(pair.service(100 * SECOND), []);
    assert_eq!(pair.link.device().resets, resets, "no reset was needed");
}

#[test]
fn the_unit_is_reset_when_an_abort_fails_then_the_device() {
    let mut pair = pair();
    pair.submit(1, 0).expect("room");
    pair.submit(2, 0).expect("room");
    pair.service(SECOND);
    pair.answer_managed(5);
    pair.service(SECOND + 1);
    let asked = pair.answer_managed(0);
    assert_eq!(asked[4..8], [5, 0, 0, 0], "reset of the unit");
    assert_eq!(pair.service(SECOND + 2), [], "it says it has done it");
    let resets = pair.link.device().resets;
    assert_eq!(pair.service(4 * SECOND), []);
    assert_eq!(pair.link.device().resets, resets + 1, "nothing came back");
    assert_eq!(pair.submit(3, 4 * SECOND), Err(Refusal::Full));
    let reset = |tag| Notice::Done(Tag(tag), Err(Failure::Reset));
    assert_eq!(
        pair.service(4 * SECOND),
        [reset(1), reset(2), Notice::Ready]
    );
    assert_eq!(pair.submit(3, 4 * SECOND), Ok(()));
}

#[test]
fn a_device_that_never_answers_again_is_cut_off() {
    let mut pair = pair();
    pair.submit(1, 0).expect("room");
    pair.link.device().is_stuck = true;
    let mut now = 0;
    while let Some(deadline) = pair.driver.deadline() {
        now = deadline.max(now + 1);
        assert!(now < 60 * SECOND, "it ends");
        pair.service(now);
        if pair.said.len() == 1 {
            assert!(pair.master.load(std::sync::atomic::Ordering::SeqCst));
        }
    }
    let gone = [Notice::Done(Tag(1), Err(Failure::Gone)), Notice::Gone];
    assert_eq!(pair.said[1..], gone);
    assert!(!pair.master.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(pair.submit(2, now), Err(Refusal::Gone));
}

#[test]
fn a_device_of_before_version_1_is_not_driven() {
    let mut pair = pair_of(0, false);
    assert_eq!(pair.service(0), [Notice::Gone]);
    assert_eq!(pair.link.device().status, status::FAILED);
}

/// What the device may do that it must not: every command is answered once, and the device reset.
#[test]
fn a_lying_device_is_reset() {
    let lies: [fn(&Pair, &DeviceChain); 3] = [
        |pair, chain| {
            pair.answer(chain, &response(0, 0));
            pair.put(REQUESTS, chain.head.into(), 0);
        },
        |pair, _| pair.put(REQUESTS, 63, 0),
        |pair, _| pair.put(REQUESTS, u32::MAX, 0),
    ];
    for lie in lies {
        let mut pair = pair();
        pair.submit(1, 0).expect("room");
        pair.submit(2, 0).expect("room");
        let chain = pair.take(REQUESTS).expect("it is there");
        lie(&pair, &chain);
        pair.service(1);
        pair.service(2);
        let mut tags: Vec<_> = pair.said.iter().filter_map(tag).collect();
        tags.sort_unstable();
        assert_eq!(tags, [1, 2]);
        assert_eq!(pair.said.last(), Some(&Notice::Ready));
        assert_eq!(pair.link.device().resets, 2);
    }
}

fn tag(notice: &Notice) -> Option<u32> {
    match notice {
        Notice::Done(Tag(tag), _) => Some(*tag),
        _ => None,
    }
}

#[test]
fn events_tell_what_comes_and_goes() {
    let mut pair = pair();
    let events: [(u32, u32, &[Notice]); 4] = [
        (
            1,
            2,
            &[Notice::Removed(Unit {
                target: 9,
                lun: 0x105,
            })],
        ),
        (1, 1, &[Notice::Rescan]),
        (1 << 31, 0, &[Notice::Rescan]),
        (2, 0, &[]),
    ];
    // More than there are buffers: each is given back.
    for (event, reason, expected) in events.iter().cycle().take(20) {
        let chain = pair.take(EVENTS).expect("a buffer for an event");
        let mut bytes = [0; wire::EVENT];
        bytes[..4].copy_from_slice(&event.to_le_bytes());
        bytes[4..8].copy_from_slice(&[1, 9, 0x41, 5]);
        bytes[12..].copy_from_slice(&reason.to_le_bytes());
        let place = chain.writable[0].address;
        pair.link.device().ram.write(place, &bytes);
        pair.put(EVENTS, chain.head.into(), 16);
        assert_eq!(pair.service(1), *expected);
    }
}

proptest! {
    /// A device that answers, is silent, lies and forgets, in any order: every command that was
    /// taken is answered once, within bounded time.
    #[test]
    fn every_command_is_answered_once(steps in prop::collection::vec((0_u8..8, any::<u16>()), 1..120)) {
        let mut pair = pair();
        let mut now = 0;
        let mut taken = Vec::new();
        let mut chains = Vec::new();
        for (step, value) in steps {
            now += u64::from(value) * 10_000_000 % (SECOND / 2);
            match step {
                0..=2 => {
                    let tag = taken.len() as u32;
                    if pair.submit(tag, now).is_ok() {
                        taken.push(tag);
                    }
                }
                3 => chains.extend(pair.take(REQUESTS)),
                4 => if let Some(chain) = chains.pop() {
                    // Of a device before its reset: then the queue's place is another one.
                    if pair.link.device().queues.contains_key(&REQUESTS) {
                        let code = (value % 12) as u8;
                        pair.link.device().ram.write(chain.writable[0].address, &response(0, code));
                        pair.put(REQUESTS, chain.head.into(), 108);
                    }
                },
                5 => if pair.link.device().queues.contains_key(&REQUESTS) {
                    pair.put(REQUESTS, u32::from(value) % 80, 0);
                },
                6 => if pair.link.device().queues.get_mut(&CONTROL).is_some_and(|queue| queue.take().is_some()) {
                    pair.put(CONTROL, 0, 1);
                },
                _ => pair.link.device().is_stuck = value % 4 == 0,
            }
            let resets = pair.link.device().resets;
            pair.service(now);
            if pair.link.device().resets != resets {
                chains.clear();
            }
        }
        let end = now + 120 * SECOND;
        while let Some(deadline) = pair.driver.deadline() {
            now = deadline.max(now + 1);
            if now > end {
                break;
            }
            pair.service(now);
        }
        let mut answered: Vec<_> = pair.said.iter().filter_map(tag).collect();
        answered.sort_unstable();
        prop_assert_eq!(answered, taken);
    }
}
