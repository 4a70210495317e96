//! One connection, and a hand that writes its peer's segments.

use vortex_tcp::{
    Config, Connection, Flags, HalfOpen, Identity, Instant, Limits, Options, Piece, Segment, Seq,
    State, Timestamps,
};

use crate::host::{Bytes, Machine, Packet, Purse};

/// Our first number, chosen so that the numbers wrap around soon.
pub(crate) const ISS: Seq = Seq(u32::MAX - 1);
/// The peer's.
pub(crate) const IRS: Seq = Seq(u32::MAX - 3);

/// A segment that was sent, with its payload.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) segment: Segment,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Rig {
    pub(crate) connection: Connection<Machine>,
    pub(crate) now: Instant,
    pub(crate) purse: Purse,
    /// The peer's next number and what it has of ours.
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) window: u16,
    /// The peer's clock, if it has timestamps.
    pub(crate) clock: Option<u32>,
}

/// No SACK, no timestamps, no scaling: numbers are easy to follow.
pub(crate) fn plain() -> Config {
    Config {
        timestamps: false,
        sack: false,
        window_scaling: false,
        ..Config::default()
    }
}

fn identity() -> Identity {
    Identity {
        local: 80,
        remote: 4000,
        iss: ISS,
        clock: 0,
    }
}

impl Rig {
    /// Our SYN is on its way.
    pub(crate) fn connecting(config: Config) -> Self {
        let now = Instant(1_000_000);
        let purse = Purse::default();
        let connection = Connection::connect(config, identity(), purse.clone(), now);
        let clock = config.timestamps.then_some(1000);
        let (seq, ack, window) = (IRS, ISS + 1, 10_000);
        let mut rig = Self {
            connection,
            now,
            purse,
            seq,
            ack,
            window,
            clock,
        };
        let syn = rig.one();
        assert!(syn.segment.flags.syn && !syn.segment.flags.ack && syn.segment.seq == ISS);
        rig
    }

    /// Established, by our opening it.
    pub(crate) fn established(config: Config) -> Self {
        let mut rig = Self::connecting(config);
        rig.pass(10_000);
        let mut syn = rig.segment("SA");
        syn.options.mss = Some(1460);
        syn.options.sack_permitted = config.sack;
        syn.options.window_scale = config.window_scaling.then_some(0);
        rig.give(syn, b"");
        rig.seq += 1;
        let ack = rig.one();
        assert_eq!((ack.segment.ack, ack.segment.seq), (IRS + 1, ISS + 1));
        assert_eq!(rig.connection.state(), State::Established);
        rig.connection.take_events();
        rig
    }

    /// Half open, by the peer: the acknowledgment of our SYN is still to come.
    pub(crate) fn accepted(config: Config) -> Self {
        let now = Instant(1_000_000);
        let purse = Purse::default();
        let mut syn = Segment {
            source: 4000,
            destination: 80,
            seq: IRS,
            window: 10_000,
            ..Segment::default()
        };
        syn.flags.syn = true;
        syn.options.mss = Some(1460);
        let half = HalfOpen::new(&config, identity(), &syn, now);
        let connection = Connection::accept(config, &half, purse.clone(), now);
        Self {
            connection,
            now,
            purse,
            seq: IRS + 1,
            ack: ISS + 1,
            window: 10_000,
            clock: None,
        }
    }

    /// In a state, as the shortest way leads there.
    pub(crate) fn in_state(state: State, config: Config) -> Self {
        if state == State::SynSent {
            return Self::connecting(config);
        }
        if state == State::SynReceived {
            return Self::accepted(config);
        }
        let mut rig = Self::established(config);
        let peer_closes = |rig: &mut Self| {
            let fin = rig.segment("FA");
            rig.give(fin, b"");
            rig.seq += 1;
            assert_eq!(rig.one().segment.ack, rig.seq);
        };
        match state {
            State::Closed => rig.connection.abort(),
            State::SynSent | State::SynReceived | State::Established => {}
            State::FinWait1 => rig.close(false),
            State::FinWait2 => rig.close(true),
            State::CloseWait => peer_closes(&mut rig),
            State::Closing => {
                rig.close(false);
                peer_closes(&mut rig);
            }
            State::LastAck => {
                peer_closes(&mut rig);
                rig.close(false);
            }
            State::TimeWait => {
                rig.close(true);
                peer_closes(&mut rig);
            }
        }
        rig.sent();
        assert_eq!(rig.connection.state(), state);
        rig
    }

    fn close(&mut self, acknowledged: bool) {
        self.connection.shutdown();
        assert!(self.one().segment.flags.fin);
        if acknowledged {
            self.ack += 1;
            let ack = self.segment("A");
            self.give(ack, b"");
        }
    }

    /// A segment of the peer's, with flags of "SAFRP".
    pub(crate) fn segment(&self, flags: &str) -> Segment {
        let has = |flag| flags.contains(flag);
        Segment {
            source: 4000,
            destination: 80,
            seq: self.seq,
            ack: if has('A') { self.ack } else { Seq(0) },
            flags: Flags {
                syn: has('S'),
                ack: has('A'),
                fin: has('F'),
                rst: has('R'),
                psh: has('P'),
            },
            window: self.window,
            options: Options {
                timestamps: self.clock.map(|value| Timestamps { value, echo: 1 }),
                ..Options::default()
            },
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "most are made for the call")]
    pub(crate) fn give(&mut self, segment: Segment, payload: &[u8]) {
        let payload = Piece::whole(Packet(payload.to_vec()));
        self.connection.segment(&segment, payload, self.now);
    }

    /// Data of the peer's, in order.
    pub(crate) fn data(&mut self, payload: &[u8]) {
        let segment = self.segment("A");
        self.give(segment, payload);
        self.seq += payload.len() as u32;
    }

    /// The peer acknowledges so much more.
    pub(crate) fn acknowledge(&mut self, more: u32) {
        self.ack += more;
        let segment = self.segment("A");
        self.give(segment, b"");
    }

    /// All that is sent now.
    pub(crate) fn sent(&mut self) -> Vec<Seen> {
        self.sent_by(&Limits::PLAIN)
    }

    pub(crate) fn sent_by(&mut self, limits: &Limits) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(outgoing) = self.connection.transmit(limits, self.now) {
            let segment = outgoing.segment.clone();
            let parts = outgoing
                .payload
                .map(|(buffer, start, end)| buffer.0[start..end].to_vec());
            seen.push(Seen {
                segment,
                payload: parts.collect::<Vec<_>>().concat(),
            });
            assert!(seen.len() < 10_000, "it has an end");
        }
        seen
    }

    /// The one segment that is sent now.
    pub(crate) fn one(&mut self) -> Seen {
        let seen = self.sent();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().expect("one")
    }

    pub(crate) fn nothing(&mut self) {
        let seen = self.sent();
        assert!(seen.is_empty(), "{seen:?}");
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let piece = Piece::whole(Bytes::new(bytes));
        assert!(
            self.connection.write(piece, self.now).is_ok(),
            "there is room"
        );
    }

    pub(crate) fn read(&mut self) -> Vec<u8> {
        let parts = self
            .connection
            .received()
            .map(|(buffer, start, end)| buffer.0[start..end].to_vec());
        let bytes = parts.collect::<Vec<_>>().concat();
        self.connection.consume(bytes.len());
        bytes
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, micros: u64) {
        self.now = self.now + micros;
        self.connection.expired(self.now);
    }

    /// Lets time pass until something is due.
    pub(crate) fn pass_to_deadline(&mut self) -> u64 {
        let at = self.connection.deadline().expect("something is due");
        let passed = at.since(self.now);
        self.pass(passed);
        passed
    }
}
