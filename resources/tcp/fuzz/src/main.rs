//! Fuzzes TCP from the bytes of a packet to the connection and the table.
//!
//! An input is a script for both. Panics, overflows and hangs are found by the fuzzer; what else
//! must hold after every step is asserted here. `cargo xtask fuzz tcp` builds and runs it.
#![no_main]

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use vortex_tcp::{
    Account, Action, Buffer, Config, Connection, Expired, FourTuple, Host, Identity, Instant, Keys,
    Limits, Piece, Room, Segment, Seq, Table, TimeWait, Verify,
};

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The most that a connection holds: its buffers, and the last packet.
const MOST: usize = 2 * 8192 * 2 + 4096;

#[derive(Clone)]
struct Bytes(Rc<Vec<u8>>);

impl Buffer for Bytes {
    fn length(&self) -> usize {
        self.0.len()
    }
}

#[derive(Clone, Default)]
struct Purse(Rc<Cell<usize>>);

impl Account for Purse {
    fn charge(&mut self, bytes: usize) -> bool {
        self.0.set(self.0.get() + bytes);
        true
    }

    fn release(&mut self, bytes: usize) {
        self.0.set(
            self.0
                .get()
                .checked_sub(bytes)
                .expect("no more than was charged"),
        );
    }
}

struct Machine;

impl Host for Machine {
    type Outgoing = Bytes;
    type Incoming = Bytes;
    type Account = Purse;
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script(input);
    let options = script.byte();
    let config = Config {
        timestamps: options & 1 > 0,
        sack: options & 2 > 0,
        window_scaling: options & 4 > 0,
        nodelay: options & 8 > 0,
        send_buffer: 8192,
        receive_buffer: 8192,
        receive_footprint: 2,
        ..Config::default()
    };
    one_connection(Script(script.0), config);
    a_table(script, config);
});

/// The input, read from its start.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A segment: what is written in the script, with numbers relative to what is expected, so
    /// that the fuzzer need not guess them.
    fn segment(&mut self, seq: Seq, ack: Seq) -> Option<(Segment, Vec<u8>)> {
        let length = usize::from(self.byte());
        let bytes = self.take(length);
        let (mut segment, header) = Segment::parse(bytes, THERE, HERE, Verify::Nothing).ok()?;
        segment.seq = segment.seq + seq.0;
        segment.ack = segment.ack + ack.0;
        for block in &mut segment.options.sack {
            block.start = block.start + ack.0;
            block.end = block.end + ack.0;
        }
        let payload = [&bytes[header..], &vec![7; usize::from(self.byte()) * 8]].concat();
        Some((segment, payload))
    }
}

fn whole(bytes: Vec<u8>) -> Piece<Bytes> {
    Piece::whole(Bytes(Rc::new(bytes)))
}

fn one_connection(mut script: Script<'_>, config: Config) {
    let purse = Purse::default();
    let identity = Identity {
        local: 80,
        remote: 4000,
        iss: Seq(u32::MAX - 2),
        clock: 0,
    };
    let mut now = Instant(1_000_000);
    let mut connection: Connection<Machine> =
        Connection::connect(config, identity, purse.clone(), now);
    let (mut seq, mut ack) = (Seq(0), identity.iss + 1);
    while !script.is_over() {
        match script.byte() % 8 {
            0..=2 => {
                if let Some((segment, payload)) = script.segment(seq, ack) {
                    connection.segment(&segment, whole(payload), now);
                    if connection.state().is_synchronized() && segment.flags.syn {
                        seq = segment.seq + 1;
                    }
                }
            }
            3 => drop(connection.write(whole(vec![1; usize::from(script.word()) % 9000]), now)),
            4 => connection.consume(script.word().into()),
            5 => {
                let at = connection.deadline().unwrap_or(now);
                now = at.max(now + u64::from(script.byte()) * 1000);
                connection.expired(now);
            }
            6 => match script.byte() {
                0 => connection.shutdown(),
                1 => connection.close(now),
                2 => connection.packet_too_big(ack, script.word().into()),
                cork => connection.set_cork(cork & 1 > 0, now),
            },
            _ => drop(connection.take()),
        }
        let limits = Limits {
            bytes: usize::from(script.byte()) * 100,
            pieces: 4,
        };
        let mut sent = 0;
        while let Some(outgoing) = connection.transmit(&limits, now) {
            let most = limits.bytes.max(outgoing.mss);
            assert!(
                outgoing.payload.bytes() <= most,
                "no more than the device takes"
            );
            let length: usize = outgoing.payload.map(|(_, start, end)| end - start).sum();
            ack = outgoing.segment.seq + u32::try_from(length).expect("short");
            if outgoing.segment.flags.ack && !outgoing.segment.flags.rst {
                seq = outgoing.segment.ack;
            }
            sent += 1;
            assert!(sent < 1000, "it has an end");
        }
        let (sending, received) = connection.footprint();
        assert_eq!(sending + received, purse.0.get());
        assert!(purse.0.get() <= MOST, "memory is bounded");
        if let Some(at) = connection.deadline() {
            assert!(at > now, "nothing that is due is forgotten");
        }
    }
    drop(connection);
    assert_eq!(purse.0.get(), 0);
}

fn a_table(mut script: Script<'_>, config: Config) {
    let room = Room {
        entries: 32,
        half_open: 8,
        time_wait: 8,
    };
    let mut now = Instant(1_000_000);
    let mut table: Table<Connection<Machine>, ()> = Table::new(Keys::new([1; 16]), room, now);
    table
        .listen((HERE, 80), config, 4, ())
        .expect("nobody else listens");
    let mut numbers = [(Seq(0), Seq(0)); 16];
    while !script.is_over() {
        let peer = usize::from(script.byte()) % numbers.len();
        let tuple = FourTuple {
            local: (HERE, 80),
            remote: (THERE, peer as u16 + 1),
        };
        match script.byte() % 4 {
            0 => {
                now = now + u64::from(script.word()) * 1000;
                while let Some(expired) = table.expired(now) {
                    if let Expired::Connection(tuple) = expired
                        && let Some(connection) = table.get(&tuple)
                    {
                        connection.expired(now);
                        let deadline = connection.deadline();
                        table.set_deadline(&tuple, deadline);
                    }
                }
            }
            1 => {
                table.accepted((HERE, 80));
                if let Some(connection) = table.get(&tuple) {
                    connection.close(now);
                }
            }
            _ => {
                if let Some((segment, payload)) = script.segment(numbers[peer].0, numbers[peer].1) {
                    let answer = give(&mut table, &tuple, config, &segment, payload, now);
                    if let Some(answer) = answer {
                        numbers[peer] = (answer.ack, answer.seq + answer.length(0));
                    }
                }
            }
        }
        let (connections, half_open, time_wait) = table.len();
        assert!(connections + half_open + time_wait <= room.entries);
        assert!(half_open <= 4 && time_wait <= room.time_wait);
    }
}

fn give(
    table: &mut Table<Connection<Machine>, ()>,
    tuple: &FourTuple,
    config: Config,
    segment: &Segment,
    payload: Vec<u8>,
    now: Instant,
) -> Option<Segment> {
    let half = match table.segment(tuple, segment, payload.len(), now) {
        Action::Reply(answer) => return Some(answer),
        Action::Drop(_) => return None,
        Action::Deliver(_) => None,
        Action::Accept(half, _) => Some(half),
    };
    if let Some(half) = half {
        let connection = Connection::accept(config, &half, Purse::default(), now);
        assert!(table.insert(*tuple, connection).is_ok(), "it was asked for");
    }
    let connection = table.get(tuple)?;
    connection.segment(segment, whole(payload), now);
    let mut last = None;
    while let Some(outgoing) = connection.transmit(&Limits::PLAIN, now) {
        last = Some(outgoing.segment);
    }
    let deadline = connection.deadline();
    let record = TimeWait::of(connection, now);
    table.set_deadline(tuple, deadline);
    if let Some(record) = record {
        table.retire(tuple, record);
    }
    last
}
