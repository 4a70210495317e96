//! Whole transfers: every byte arrives once and in order, both sides close, and nothing is held.

use vortex_tcp::{Algorithm, Config, Instant, Limits, SECOND, State};

use crate::ours::{Ours, Use};
use crate::theirs::Theirs;
use crate::wire::{Faults, Link, Peer, Wire};

const LINK: Link = Link {
    rate: 1000,
    delay: 500,
    queue: 256 << 10,
    faults: [Faults::NONE; 2],
};
const BAD: Faults = Faults {
    loss: 50_000,
    reorder: 250_000,
    overtake: 0,
    duplicate: 20_000,
};

/// Two of ours with each other, `sends` one way and as much back; both must end well.
fn exchange(link: Link, configs: [Config; 2], uses: [Use; 2], seed: u64) -> [Ours; 2] {
    let mut peers = [
        Ours::new(0, configs[0], uses[0], seed as u8),
        Ours::new(1, configs[1], uses[1], (seed as u8).wrapping_add(1)),
    ];
    let mut wire = Wire::new(link, seed);
    {
        let [first, second] = &mut peers;
        let mut flows = [[Box::new(first) as Box<dyn Peer>, Box::new(second)]];
        wire.run(&mut flows, Instant(2000 * SECOND));
    }
    for side in 0..2 {
        let peer = &peers[side];
        let connection = peer.connection.as_ref().expect("there was one");
        let known = (
            connection.state(),
            connection.failure(),
            connection.counters(),
        );
        assert_eq!(
            connection.failure(),
            None,
            "seed {seed}, side {side}: {known:?}"
        );
        assert_eq!(
            peer.written, uses[side].sends,
            "seed {seed}, side {side}: {known:?}"
        );
        assert_eq!(
            peer.read,
            uses[1 - side].sends,
            "seed {seed}, side {side}: {known:?}"
        );
        assert_eq!(
            peer.state(),
            State::Closed,
            "seed {seed}, side {side}: {known:?}"
        );
        assert_eq!(
            peer.purse.held.get(),
            0,
            "seed {seed}, side {side}: {known:?}"
        );
    }
    peers
}

fn sends(sends: u64) -> Use {
    Use {
        sends,
        ..Use::default()
    }
}

#[test]
fn a_good_wire_needs_no_retransmission() {
    let peers = exchange(
        LINK,
        [Config::default(); 2],
        [sends(3_000_000), sends(0)],
        1,
    );
    let counters = peers[0].connection.as_ref().unwrap().counters();
    assert_eq!(
        (counters.retransmissions, counters.bytes_acked),
        (0, 3_000_002)
    );
    let counters = peers[1].connection.as_ref().unwrap().counters();
    assert_eq!((counters.retransmissions, counters.outside_window), (0, 0));
}

#[test]
fn bad_wires_lose_nothing() {
    let link = Link {
        faults: [BAD; 2],
        ..LINK
    };
    for seed in 0..20 {
        exchange(
            link,
            [Config::default(); 2],
            [sends(400_000), sends(100_000)],
            seed,
        );
    }
}

#[test]
fn bad_wires_lose_nothing_whatever_is_agreed_on() {
    let link = Link {
        faults: [BAD; 2],
        ..LINK
    };
    let plain = Config {
        timestamps: false,
        sack: false,
        window_scaling: false,
        ..Config::default()
    };
    let variants = [
        plain,
        Config {
            sack: true,
            ..plain
        },
        Config {
            timestamps: true,
            ..plain
        },
        Config {
            window_scaling: true,
            algorithm: Some(Algorithm::NewReno),
            ..plain
        },
        Config {
            algorithm: Some(Algorithm::NewReno),
            nodelay: true,
            mtu: 600,
            ..Config::default()
        },
    ];
    for (seed, &config) in variants.iter().enumerate() {
        for configs in [[config, Config::default()], [Config::default(), config]] {
            exchange(link, configs, [sends(150_000), sends(150_000)], seed as u64);
        }
    }
}

#[test]
fn super_segments_scattered_pieces_and_slow_readers() {
    let link = Link {
        faults: [Faults::loss(10_000); 2],
        ..LINK
    };
    let limits = Limits {
        bytes: 64 << 10,
        pieces: 5,
    };
    for (seed, portion) in [7, 500, 4096, 20_000].into_iter().enumerate() {
        let sends = 200_000.min(portion as u64 * 3000);
        let fast = Use {
            sends,
            portion,
            limits,
            ..Use::default()
        };
        let slow = Use {
            sends: 0,
            reads: 3000,
            ..Use::default()
        };
        let small = Config {
            receive_buffer: 8000,
            ..Config::default()
        };
        exchange(link, [Config::default(), small], [fast, slow], seed as u64);
    }
}

#[test]
fn thousands_of_seeds_with_short_streams() {
    let link = Link {
        faults: [Faults {
            loss: 150_000,
            ..BAD
        }; 2],
        ..LINK
    };
    for seed in 0..1000 {
        let length = seed * 37 % 9000;
        let config = Config {
            retries: 200,
            syn_retries: 200,
            ..Config::default()
        };
        exchange(link, [config; 2], [sends(length), sends(length / 3)], seed);
    }
}

#[test]
fn smoltcp_and_we_understand_each_other() {
    for (seed, faults) in [(1, Faults::NONE), (2, Faults::loss(10_000)), (3, BAD)] {
        let link = Link {
            faults: [faults; 2],
            ..LINK
        };
        let mut ours = Ours::new(0, Config::default(), sends(300_000), 1);
        let mut theirs = Theirs::new(1, 64 << 10, 0);
        let (first, second) = (&mut ours, &mut theirs);
        let mut flows = [[Box::new(first) as Box<dyn Peer>, Box::new(second)]];
        Wire::new(link, seed).run(&mut flows, Instant(300 * SECOND));
        drop(flows);
        assert_eq!(
            (theirs.read, ours.state()),
            (300_000, State::Closed),
            "{faults:?}"
        );

        let mut theirs = Theirs::new(0, 64 << 10, 100_000);
        let mut ours = Ours::new(1, Config::default(), sends(0), 1);
        let (first, second) = (&mut theirs, &mut ours);
        let mut flows = [[Box::new(first) as Box<dyn Peer>, Box::new(second)]];
        Wire::new(link, seed).run(&mut flows, Instant(2000 * SECOND));
        drop(flows);
        assert_eq!(
            (ours.read, ours.state()),
            (100_000, State::Closed),
            "{faults:?}"
        );
        assert!(!matches!(
            theirs.state(),
            smoltcp::socket::tcp::State::Established
        ));
    }
}
