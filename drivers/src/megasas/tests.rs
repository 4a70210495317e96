use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use vortex_bus::fake::{FakeBus, FakeRegisters, Ram};
use vortex_resources::storage::adapter::{Cdb, Data, Response, Unit};

use super::*;

const SECOND: u64 = 1_000_000_000;
/// Commands that the fake firmware takes, less one: answers that its queue has.
const COMMANDS: u32 = 8;

/// A controller's firmware: it comes up, lists disks, and keeps commands until a test answers them.
struct Firmware {
    ram: Ram,
    /// The state that it shows, in the upper four bits.
    state: u32,
    /// It stays in that state.
    is_stuck: bool,
    answers: u64,
    producer: u64,
    next: u32,
    /// The frames of commands.
    frames: Vec<u64>,
    aborts: Vec<u64>,
    logical: Vec<u8>,
    physical: Vec<u16>,
    resets: usize,
}

impl Firmware {
    fn access(&mut self, offset: usize, value: Option<u32>) -> u32 {
        match (offset, value) {
            (register::STATE, None) => self.state << 28 | 80 << 16 | COMMANDS,
            (register::INBOUND_DOORBELL, Some(doorbell)) => {
                if doorbell & 2 != 0 && !self.is_stuck {
                    self.resets += 1;
                    self.frames.clear();
                    self.state = 0xb;
                }
                0
            }
            (register::QUEUE, Some(address)) => {
                self.frame(u64::from(address & !0x1f));
                0
            }
            _ => 0,
        }
    }

    fn frame(&mut self, at: u64) {
        let kind = self.ram.read(at, 1)[0];
        match kind {
            0 => {
                let queue = self.ram.number(at + 24, 8);
                assert_eq!(self.ram.number(queue + 4, 4), COMMANDS.into());
                self.answers = self.ram.number(queue + 8, 8);
                self.producer = self.ram.number(queue + 16, 8);
                self.next = 0;
                self.state = 0xc;
            }
            5 => {
                let list = self.ram.number(at + 40, 8);
                match self.ram.number(at + 24, 4) as u32 {
                    frame::LIST_LOGICAL => {
                        let count = self.logical.len() as u32;
                        self.ram.write(list, &count.to_le_bytes());
                        for (target, place) in self.logical.iter().zip((list + 8..).step_by(16)) {
                            self.ram.write(place, &[*target]);
                        }
                    }
                    _ => {
                        let count = self.physical.len() as u32;
                        self.ram.write(list + 4, &count.to_le_bytes());
                        for (target, place) in self.physical.iter().zip((list + 8..).step_by(24)) {
                            self.ram.write(place, &target.to_le_bytes());
                        }
                    }
                }
            }
            6 => {
                self.aborts.push(self.ram.number(at + 32, 8));
            }
            _ => return self.frames.push(at),
        }
        self.ram.write(at + 2, &[0]);
    }

    /// Answers a command.
    fn answer(&mut self, at: u64, status: u8, unit_status: u8) {
        self.ram.write(at + 2, &[status, unit_status]);
        let context = self.ram.number(at + 8, 4) as u32;
        self.post(context);
    }

    fn post(&mut self, context: u32) {
        let place = self.answers + 4 * u64::from(self.next);
        self.ram.write(place, &context.to_le_bytes());
        self.next = (self.next + 1) % COMMANDS;
        self.ram.write(self.producer, &self.next.to_le_bytes());
    }
}

struct Pair {
    driver: MegaRaid<FakeBus>,
    firmware: Arc<Mutex<Firmware>>,
    master: Arc<std::sync::atomic::AtomicBool>,
    said: Vec<Notice>,
}

fn pair_with(logical: &[u8], physical: &[u16], state: u32, is_stuck: bool) -> Pair {
    let mut bus = FakeBus::default();
    let firmware = Arc::new(Mutex::new(Firmware {
        ram: bus.ram.clone(),
        state,
        is_stuck,
        answers: 0,
        producer: 0,
        next: 0,
        frames: Vec::new(),
        aborts: Vec::new(),
        logical: logical.to_vec(),
        physical: physical.to_vec(),
        resets: 0,
    }));
    let own = firmware.clone();
    bus.registers = Some(FakeRegisters::new(Box::new(move |offset, value| {
        own.lock()
            .expect("no test panics with it")
            .access(offset, value)
    })));
    let master = bus.master.clone();
    Pair {
        driver: MegaRaid::new(bus, Generation::First, 0).expect("a controller"),
        firmware,
        master,
        said: Vec::new(),
    }
}

/// A controller with logical disks 3 and 5 that has come up.
fn pair() -> Pair {
    let mut pair = pair_with(&[5, 3], &[], 0xc, false);
    pair.run_to(SECOND);
    assert_eq!(pair.said, [Notice::Ready]);
    pair.said.clear();
    pair
}

impl Pair {
    fn service(&mut self, now_ns: u64) {
        let said = &mut self.said;
        self.driver.service(now_ns, &mut |notice| said.push(notice));
    }

    /// Services when it is due, up to a time.
    fn run_to(&mut self, end: u64) {
        let mut now = 0;
        while let Some(deadline) = self.driver.deadline() {
            now = deadline.max(now + 1);
            if now > end {
                break;
            }
            self.service(now);
        }
    }

    fn submit(&mut self, tag: u32, cdb: &[u8], parts: usize) -> Result<(), Refusal> {
        let part = |number| Part {
            address: 0x2_0000_0000 + 4096 * number,
            length: 512,
        };
        let command = Command {
            tag: Tag(tag),
            unit: Unit { target: 3, lun: 0 },
            cdb: Cdb::new(cdb),
            data: if parts == 0 { Data::None } else { Data::In },
            parts: (0..parts as u64).map(part).collect(),
            timeout_ns: SECOND,
        };
        self.driver.submit(&command, 0, SECOND)
    }

    fn firmware(&self) -> std::sync::MutexGuard<'_, Firmware> {
        self.firmware.lock().expect("no test panics with it")
    }
}

const READ: [u8; 10] = [0x28, 0, 0, 1, 2, 3, 0, 0, 2, 0];

#[test]
fn reads_go_as_such_and_others_as_they_are() {
    let mut pair = pair();
    assert_eq!(pair.driver.targets(), [3, 5]);
    pair.submit(1, &READ, 2).expect("room");
    pair.submit(2, &[0; 6], 0).expect("room");
    let (frames, ram) = {
        let firmware = pair.firmware();
        (firmware.frames.clone(), firmware.ram.clone())
    };
    let first = ram.read(frames[0], 64);
    assert_eq!(
        (first[0], first[4], first[7]),
        (1, 3, 2),
        "LD READ, target, entries"
    );
    assert_eq!(ram.number(frames[0] + 20, 4), 2, "blocks");
    assert_eq!(ram.number(frames[0] + 32, 8), 0x1_0203, "the first one");
    assert_eq!(
        ram.number(frames[0] + 52, 8),
        0x2_0000_1000,
        "the second entry"
    );
    let second = ram.read(frames[1], 64);
    assert_eq!(
        (second[0], second[6], second[7]),
        (3, 6, 1),
        "LD SCSI, its length, an entry"
    );
    {
        let mut firmware = pair.firmware();
        firmware.answer(frames[1], 0x2d, 2);
        let sense = ram.number(frames[1] + 24, 8);
        ram.write(sense, &[0x70, 0, 6]);
        firmware.answer(frames[0], 0, 0);
    }
    pair.service(SECOND + 1);
    let [
        Notice::Done(Tag(2), Ok(bad)),
        Notice::Done(Tag(1), Ok(good)),
    ] = pair.said[..]
    else {
        panic!("{:?}", pair.said);
    };
    assert_eq!((bad.status, bad.sense[2], good.status), (2, 6, 0));
}

#[test]
fn physical_disks_are_driven_where_there_are_no_others() {
    let mut pair = pair_with(&[], &[0x0300, 0x0004], 0xb, false);
    pair.run_to(SECOND);
    assert_eq!(pair.driver.targets(), [3, 4]);
    pair.submit(1, &READ, 1).expect("room");
    let frames = pair.firmware().frames.clone();
    assert_eq!(pair.firmware().ram.read(frames[0], 1), [4], "PD SCSI");
}

#[test]
fn the_firmware_is_waited_for_and_given_up_at_last() {
    for state in [0x1, 0x4, 0x6, 0x8, 0x9, 0xa, 0xc, 0xf] {
        let mut pair = pair_with(&[0], &[], state, true);
        pair.run_to(50 * SECOND);
        assert_eq!(pair.said, [], "state {state:x}");
        pair.run_to(100 * SECOND);
        assert_eq!(pair.said, [Notice::Gone], "state {state:x}");
        assert!(!pair.master.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(pair.submit(1, &READ, 1), Err(Refusal::Gone));
    }
}

#[test]
fn no_more_commands_are_sent_than_there_are_answers() {
    let mut pair = pair();
    let taken = (0..20).take_while(|tag| pair.submit(*tag, &READ, 1).is_ok());
    assert_eq!(taken.count() as u32, COMMANDS - 1);
    assert_eq!(pair.submit(99, &READ, 1), Err(Refusal::Full));
    assert_eq!(pair.submit(99, &READ, 81), Err(Refusal::TooLarge));
    for round in 0..30 {
        let frame = pair.firmware().frames.remove(0);
        pair.firmware().answer(frame, 0, 0);
        pair.service(SECOND + round);
        assert_eq!(pair.submit(100, &READ, 1), Ok(()), "round {round}");
    }
    assert_eq!(pair.said.len(), 30);
}

#[test]
fn a_late_command_is_aborted_and_then_all_is_reset() {
    let mut pair = pair();
    pair.submit(1, &READ, 1).expect("room");
    pair.submit(2, &READ, 1).expect("room");
    pair.service(2 * SECOND);
    let (frame, aborts) = {
        let firmware = pair.firmware();
        (firmware.frames[0], firmware.aborts.clone())
    };
    assert_eq!(aborts, [frame]);
    pair.firmware().answer(frame, 0x2e, 0);
    pair.service(2 * SECOND + 1);
    let late = Notice::Done(Tag(1), Err(Failure::TimedOut));
    assert_eq!(pair.said, [late]);
    pair.run_to(30 * SECOND);
    let reset = Notice::Done(Tag(2), Err(Failure::Reset));
    assert_eq!(pair.said, [late, reset, Notice::Ready]);
    assert_eq!(pair.submit(3, &READ, 1), Ok(()));
}

/// What the controller may do that it must not.
#[test]
fn a_lying_controller_is_reset() {
    let lies: [fn(&mut Firmware); 4] = [
        |firmware| firmware.post(5),
        |firmware| firmware.post(u32::MAX),
        |firmware| {
            let beyond = COMMANDS.to_le_bytes();
            firmware.ram.write(firmware.producer, &beyond);
        },
        |firmware| {
            let frame = firmware.frames[0];
            firmware.answer(frame, 0, 0);
            firmware.answer(frame, 0, 0);
        },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let mut pair = pair();
        pair.submit(1, &READ, 1).expect("room");
        lie(&mut pair.firmware());
        pair.run_to(20 * SECOND);
        pair.service(20 * SECOND);
        pair.run_to(40 * SECOND);
        let answered = pair
            .said
            .iter()
            .filter(|one| matches!(one, Notice::Done(Tag(1), _)));
        assert_eq!(answered.count(), 1, "lie {number}: {:?}", pair.said);
        assert_eq!(pair.said.last(), Some(&Notice::Ready), "lie {number}");
    }
}

proptest! {
    #[test]
    fn any_lists_are_survived(list in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(frame::logical(&list).count() <= list.len() / 16);
        prop_assert!(frame::physical(&list).count() <= list.len() / 24);
    }

    #[test]
    fn any_status_is_an_answer(status: u8, unit_status: u8) {
        let answer = frame::answer(status, unit_status, [0; SENSE_BYTES]);
        if let Ok(Response { residue, .. }) = answer {
            prop_assert_eq!(residue, 0);
        }
    }
}
