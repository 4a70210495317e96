use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::*;
use crate::config::Config;
use crate::connection::Connection;
use crate::memory::{Buffer, Host, Piece, Unaccounted};
use crate::sender::Limits;
use crate::seq::Seq;
use crate::state::State;
use crate::time::SECOND;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

#[derive(Clone)]
struct Nothing;

impl Buffer for Nothing {
    fn length(&self) -> usize {
        0
    }
}

struct Machine;

impl Host for Machine {
    type Outgoing = Nothing;
    type Incoming = Nothing;
    type Account = Unaccounted;
}

type Ours = Connection<Machine>;

fn tuple(port: u16) -> FourTuple {
    FourTuple {
        local: (HERE, 80),
        remote: (THERE, port),
    }
}

fn table(room: Room, backlog: usize) -> Table<Ours, &'static str> {
    let mut table = Table::new(Keys::new([7; 16]), room, Instant(0));
    table
        .listen(
            (Ipv4Addr::UNSPECIFIED, 80),
            Config::default(),
            backlog,
            "httpd",
        )
        .unwrap();
    table
}

fn from(port: u16, flags: &str, seq: Seq, ack: Seq) -> Segment {
    let mut segment = Segment {
        source: port,
        destination: 80,
        seq,
        ack,
        window: 1000,
        ..Segment::default()
    };
    segment.flags.syn = flags.contains('S');
    segment.flags.ack = flags.contains('A');
    segment.flags.rst = flags.contains('R');
    segment.flags.fin = flags.contains('F');
    segment
}

/// The options of a SYN that has all.
fn with_options(mut syn: Segment) -> Segment {
    syn.options.mss = Some(1400);
    syn.options.sack_permitted = true;
    syn.options.window_scale = Some(9);
    syn.options.timestamps = Some(crate::Timestamps { value: 5, echo: 0 });
    syn
}

/// Gives a segment to the table, and to the connection that it names or makes.
fn give(table: &mut Table<Ours, &'static str>, segment: &Segment, now: Instant) -> Option<Segment> {
    let tuple = tuple(segment.source);
    let half = match table.segment(&tuple, segment, 0, now) {
        Action::Deliver(connection) => {
            connection.segment(segment, Piece::whole(Nothing), now);
            return connection
                .transmit(&Limits::PLAIN, now)
                .map(|outgoing| outgoing.segment);
        }
        Action::Reply(segment) => return Some(segment),
        Action::Drop(_) => return None,
        Action::Accept(half, listener) => {
            assert_eq!(listener.owner, "httpd");
            half
        }
    };
    let mut connection = Ours::accept(Config::default(), &half, Unaccounted, now);
    connection.segment(segment, Piece::whole(Nothing), now);
    assert_eq!(connection.state(), State::Established);
    assert!(table.insert(tuple, connection).is_ok());
    None
}

fn open(table: &mut Table<Ours, &'static str>, port: u16, now: Instant) -> Option<Segment> {
    let answer = give(table, &with_options(from(port, "S", Seq(100), Seq(0))), now)?;
    assert!(answer.flags.syn && answer.flags.ack && answer.ack == Seq(101));
    let mut ack = from(port, "A", Seq(101), answer.seq + 1);
    let echo = answer.options.timestamps.map_or(0, |stamps| stamps.value);
    ack.options.timestamps = Some(crate::Timestamps { value: 6, echo });
    give(table, &ack, now);
    Some(ack)
}

#[test]
fn a_handshake_makes_a_connection() {
    let mut table = table(Room::default(), 8);
    open(&mut table, 1000, Instant(0));
    assert_eq!(table.len(), (1, 0, 0));
    assert_eq!(table.listener((HERE, 80)).unwrap().waiting(), (0, 1));
    table.accepted((HERE, 80));
    assert_eq!(table.listener((HERE, 80)).unwrap().waiting(), (0, 0));
    assert!(table.get(&tuple(1000)).is_some() && table.get(&tuple(1001)).is_none());
    assert!(table.remove(&tuple(1000)).is_some());
    assert!(table.is_empty());
}

#[test]
fn what_is_for_nobody_is_reset_at_a_bounded_rate() {
    let mut table = table(Room::default(), 8);
    let mut segment = from(1000, "A", Seq(5), Seq(6));
    let reset = give(&mut table, &segment, Instant(0)).unwrap();
    assert!(reset.flags.rst && reset.seq == Seq(6));
    segment.flags.rst = true;
    assert_eq!(give(&mut table, &segment, Instant(0)), None);
    segment.flags.rst = false;
    let answers = (0..10_000)
        .filter(|_| give(&mut table, &segment, Instant(0)).is_some())
        .count();
    assert!(answers < 200);
    assert_eq!(table.counters().resets, 200);
    let closed = FourTuple {
        local: (HERE, 81),
        remote: (THERE, 1000),
    };
    let syn = from(1000, "S", Seq(5), Seq(0));
    let action = table.segment(&closed, &syn, 0, Instant(SECOND));
    assert!(matches!(action, Action::Reply(reset) if reset.flags.rst && reset.ack == Seq(6)));
}

#[test]
fn a_half_open_connection_repeats_its_answer_and_goes() {
    let mut table = table(Room::default(), 8);
    give(&mut table, &from(1000, "S", Seq(100), Seq(0)), Instant(0)).unwrap();
    assert_eq!(table.len(), (0, 1, 0));
    let mut sent = Vec::new();
    while let Some(now) = table.deadline() {
        while let Some(Expired::Send(_, answer)) = table.expired(now) {
            assert!(answer.flags.syn && answer.flags.ack);
            sent.push(now.0 / SECOND);
        }
    }
    assert_eq!(sent, [1, 3, 7, 15, 31]);
    assert!(table.is_empty());
    assert_eq!(table.listener((HERE, 80)).unwrap().waiting(), (0, 0));
    assert_eq!(table.counters().half_open_expired, 1);
}

#[test]
fn a_reset_ends_a_half_open_connection_if_its_number_is_right() {
    let mut table = table(Room::default(), 8);
    give(&mut table, &from(1000, "S", Seq(100), Seq(0)), Instant(0)).unwrap();
    give(&mut table, &from(1000, "R", Seq(102), Seq(0)), Instant(0));
    assert_eq!(table.len(), (0, 1, 0));
    give(&mut table, &from(1000, "R", Seq(101), Seq(0)), Instant(0));
    assert!(table.is_empty());
}

#[test]
fn a_flood_of_syns_is_answered_by_cookies_which_open_connections() {
    let mut table = table(Room::default(), 8);
    for port in 1..=5000 {
        assert!(give(&mut table, &from(port, "S", Seq(1), Seq(0)), Instant(0)).is_some());
    }
    assert_eq!(table.len(), (0, 8, 0), "it holds no more than the backlog");
    assert_eq!(table.counters().cookies_sent, 4992);
    let now = Instant(30 * SECOND);
    open(&mut table, 6000, now);
    assert_eq!(table.counters().cookies_accepted, 1);
    let connection = table.get(&tuple(6000)).expect("the cookie was good");
    assert_eq!(connection.state(), State::Established);
    let forged = from(6001, "A", Seq(101), Seq(12345));
    assert!(give(&mut table, &forged, now).unwrap().flags.rst);
    let answer = give(
        &mut table,
        &with_options(from(6002, "S", Seq(100), Seq(0))),
        now,
    )
    .unwrap();
    let ack = from(6002, "A", Seq(101), answer.seq + 1);
    let late = give(&mut table, &ack, Instant(100 * SECOND + 60 * SECOND)).unwrap();
    assert!(late.flags.rst, "a cookie is good for two minutes at most");
}

#[test]
fn a_full_queue_of_connections_takes_no_more() {
    let mut table = table(Room::default(), 3);
    for port in 1..=3 {
        open(&mut table, port, Instant(0)).unwrap();
    }
    assert_eq!(open(&mut table, 4, Instant(0)), None);
    table.accepted((HERE, 80));
    assert!(open(&mut table, 4, Instant(0)).is_some());
    assert_eq!(table.len(), (4, 0, 0));
}

#[test]
fn thousands_come_and_go_and_leave_nothing() {
    let mut table = table(Room::default(), 8);
    let mut now = Instant(0);
    for port in 1..=20_000 {
        now = now + 100;
        open(&mut table, port, now).unwrap();
        table.accepted((HERE, 80));
        let connection = table.get(&tuple(port)).unwrap();
        connection.shutdown();
        let fin = connection.transmit(&Limits::PLAIN, now).unwrap().segment;
        assert!(fin.flags.fin);
        let mut answer = from(port, "FA", Seq(101), fin.seq + 1);
        answer.options.timestamps = Some(crate::Timestamps { value: 7, echo: 0 });
        assert_eq!(give(&mut table, &answer, now).unwrap().ack, Seq(102));
        let record = TimeWait::of(table.get(&tuple(port)).unwrap(), now).unwrap();
        assert!(table.retire(&tuple(port), record).is_some());
    }
    assert_eq!(table.len(), (0, 0, Room::default().time_wait));
    assert_eq!(table.counters().time_wait_dropped, 20_000 - 16_384);
    let mut again = with_options(from(10, "S", Seq(5000), Seq(0)));
    again.options.timestamps = Some(crate::Timestamps { value: 8, echo: 0 });
    assert!(
        give(&mut table, &again, now).unwrap().flags.syn,
        "TIME-WAIT makes way"
    );
    while let Some(at) = table.deadline() {
        while table.expired(at).is_some() {}
    }
    assert!(table.is_empty() && table.timers.is_empty());
}

#[test]
fn a_later_deadline_costs_nothing_and_an_earlier_one_counts() {
    let mut table = table(Room::default(), 8);
    open(&mut table, 1, Instant(0));
    while table.expired(Instant(100 * SECOND)).is_some() {}
    for at in 1..1000 {
        table.set_deadline(&tuple(1), Some(Instant(200 * SECOND + at)));
    }
    assert_eq!(table.timers.len(), 1);
    table.set_deadline(&tuple(1), Some(Instant(150 * SECOND)));
    assert_eq!(table.expired(Instant(149 * SECOND)), None);
    assert_eq!(
        table.expired(Instant(150 * SECOND)),
        Some(Expired::Connection(tuple(1)))
    );
    assert_eq!(
        table.expired(Instant(300 * SECOND)),
        None,
        "the first timer does not count any more"
    );
}
