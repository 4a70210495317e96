//! Our engine as a peer: sends and checks a known stream.

use vortex_tcp::{
    Config, Connection, FourTuple, HalfOpen, HalfOpenVerdict, Identity, Instant, Keys, Limits,
    Outgoing, Piece, Segment, Seq, State,
};

use crate::host::{ADDRESSES, Bytes, Machine, Packet, Pattern, Purse, packet, parse};
use crate::wire::Peer;

/// How the application uses its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// How much it sends before it closes.
    pub(crate) sends: u64,
    /// In what portions.
    pub(crate) portion: usize,
    /// How much it reads when it reads.
    pub(crate) reads: usize,
    /// What the device takes.
    pub(crate) limits: Limits,
}

impl Default for Use {
    fn default() -> Self {
        Self {
            sends: 0,
            portion: 16 << 10,
            reads: usize::MAX,
            limits: Limits::PLAIN,
        }
    }
}

pub(crate) struct Ours {
    side: usize,
    config: Config,
    usage: Use,
    pub(crate) connection: Option<Connection<Machine>>,
    half: Option<HalfOpen>,
    pattern: Pattern,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) purse: Purse,
    keys: Keys,
    answers: Vec<Vec<u8>>,
    closed: bool,
}

impl Ours {
    /// Connects, if it is side 0, or else waits for a SYN.
    pub(crate) fn new(side: usize, config: Config, usage: Use, seed: u8) -> Self {
        let mut ours = Self {
            side,
            config,
            usage,
            connection: None,
            half: None,
            pattern: Pattern::new(),
            written: 0,
            read: 0,
            purse: Purse::default(),
            keys: Keys::new([seed; 16]),
            answers: Vec::new(),
            closed: false,
        };
        if side == 0 {
            let identity = ours.identity(Instant(0));
            ours.connection = Some(Connection::connect(
                config,
                identity,
                ours.purse.clone(),
                Instant(0),
            ));
        }
        ours
    }

    fn identity(&self, now: Instant) -> Identity {
        let ports = if self.side == 0 {
            (4000, 80)
        } else {
            (80, 4000)
        };
        let tuple = FourTuple {
            local: (ADDRESSES[self.side], ports.0),
            remote: (ADDRESSES[1 - self.side], ports.1),
        };
        let (iss, clock) = (self.keys.initial(&tuple, now), self.keys.clock(&tuple));
        Identity {
            local: ports.0,
            remote: ports.1,
            iss,
            clock,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.connection
            .as_ref()
            .map_or(State::Closed, Connection::state)
    }

    /// What a listener does. Returns whether the segment has made a connection.
    fn half_open(&mut self, segment: &Segment, payload: usize, now: Instant) -> bool {
        let identity = self.identity(now);
        let config = self.config;
        let is_new = self.half.is_none() && segment.flags.syn;
        if is_new {
            self.half = Some(HalfOpen::new(&config, identity, segment, now));
        }
        let Some(half) = &self.half else {
            return false;
        };
        match half.segment(segment, payload) {
            HalfOpenVerdict::AnswerAgain => {
                let answer = half.answer(&config, now);
                self.answers.push(packet(self.side, &answer, &[]));
                false
            }
            HalfOpenVerdict::Establish => {
                let purse = self.purse.clone();
                self.connection = Some(Connection::accept(config, half, purse, now));
                self.half = None;
                true
            }
            other => panic!("a peer of ours does not cause {other:?}"),
        }
    }

    fn work(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let mut left = self.usage.reads;
        let mut taken = 0;
        for (buffer, start, end) in connection.received() {
            let end = end.min(start.saturating_add(left));
            assert!(
                self.pattern.is_at(self.read, &buffer.0[start..end]),
                "the stream is whole"
            );
            self.read += (end - start) as u64;
            taken += end - start;
            left -= end - start;
            if left == 0 {
                break;
            }
        }
        if taken > 0 {
            connection.consume(taken);
        }
        while self.written < self.usage.sends {
            let (buffer, start) = self.pattern.at(self.written);
            let left = usize::try_from(self.usage.sends - self.written).unwrap_or(usize::MAX);
            let portion = self.usage.portion.min(left);
            let piece = Piece::part(buffer, start, start + portion);
            let length = piece.len();
            if connection.writable() < length || connection.write(piece, now).is_err() {
                return;
            }
            self.written += length as u64;
        }
        let wants_close = self.side == 0 || connection.is_at_end();
        if wants_close && !self.closed && connection.state() != State::SynSent {
            self.closed = true;
            connection.shutdown();
        }
    }
}

impl Peer for Ours {
    fn receive(&mut self, bytes: Vec<u8>, now: Instant) {
        let (segment, start) = parse(self.side, &bytes);
        let payload = Piece::part(Packet(bytes), start, usize::MAX);
        if self.connection.is_none() && !self.half_open(&segment, payload.len(), now) {
            return;
        }
        if let Some(connection) = &mut self.connection {
            connection.segment(&segment, payload, now);
        }
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        out.append(&mut self.answers);
        if let Some(half) = &mut self.half
            && half.deadline() <= now
            && half.expired(now)
        {
            out.push(packet(self.side, &half.answer(&self.config, now), &[]));
        }
        if let Some(connection) = &mut self.connection {
            connection.expired(now);
        }
        self.work(now);
        if let Some(connection) = &mut self.connection {
            while let Some(outgoing) = connection.transmit(&self.usage.limits, now) {
                cut(self.side, outgoing, out);
            }
        }
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        if let Some(half) = &self.half {
            return Some(half.deadline());
        }
        let connection = self.connection.as_ref()?;
        let reads = (connection.readable() > 0).then(|| now + 1000);
        connection.deadline().into_iter().chain(reads).min()
    }
}

/// What a device does: cuts a super-segment, and puts header and payload together.
pub(crate) fn cut(side: usize, outgoing: Outgoing<'_, Bytes>, out: &mut Vec<Vec<u8>>) {
    let Outgoing {
        segment,
        payload,
        mss,
    } = outgoing;
    let payload: Vec<(&Bytes, usize, usize)> = payload.collect();
    let bytes: Vec<&[u8]> = payload
        .iter()
        .map(|&(buffer, start, end)| &buffer.0[start..end])
        .collect();
    let total: usize = bytes.iter().map(|part| part.len()).sum();
    if total <= mss {
        out.push(packet(side, &segment, &bytes));
        return;
    }
    let bytes = bytes.concat();
    let last = total.div_ceil(mss) - 1;
    for (index, part) in bytes.chunks(mss).enumerate() {
        let mut one = segment.clone();
        one.seq = Seq(one.seq.0.wrapping_add((index * mss) as u32));
        one.flags.psh &= index == last;
        one.flags.fin &= index == last;
        out.push(packet(side, &one, &[part]));
    }
}
