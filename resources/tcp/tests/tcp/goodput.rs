//! The goodput table: what gets through over loss × reordering × buffer × delay × flows, as a
//! snapshot that is reviewed in diffs.

use std::fmt::Write;
use std::path::Path;

use vortex_tcp::{Algorithm, Config, Instant, MILLISECOND};

use crate::ours::{Ours, Use};
use crate::theirs::Theirs;
use crate::wire::{Faults, Link, Peer, Wire};

/// Megabits per second of the link in all rows.
const RATE: u64 = 1000;
/// The data in a full segment, which is what RFC 5681 calls SMSS.
const MSS: f64 = 1448.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    OursCubic,
    OursNewReno,
    OursToSmoltcp,
    SmoltcpToOurs,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    who: Who,
    /// Of a million packets.
    loss: u32,
    reorder: u32,
    /// Of a million packets of both sides.
    overtake: u32,
    buffer: usize,
    /// The round trip in milliseconds.
    rtt: u64,
    flows: usize,
}

/// Long enough for many losses and round trips, short enough for a test; in milliseconds.
fn length(row: &Row) -> u64 {
    let losses = match row.loss {
        0..=100 => 400,
        101..=3000 => 800,
        3001..=10_000 => 3000,
        _ => 8000,
    };
    losses.max(40 * row.rtt)
}

/// Megabits per second that reach the reader's application.
fn measure(row: &Row) -> f64 {
    let buffer = row.buffer;
    let algorithm = if row.who == Who::OursNewReno {
        Algorithm::NewReno
    } else {
        Algorithm::Cubic
    };
    let config = Config {
        send_buffer: buffer,
        receive_buffer: buffer,
        algorithm: Some(algorithm),
        ..Config::default()
    };
    let usage = Use {
        sends: u64::MAX,
        portion: (row.buffer / 8).min(16 << 10),
        ..Use::default()
    };
    let ours = |side: usize, usage: Use| {
        (0..row.flows).map(move |flow| Ours::new(side, config, usage, flow as u8))
    };
    match row.who {
        Who::OursCubic | Who::OursNewReno => {
            let readers = ours(1, Use::default()).collect();
            run(row, ours(0, usage).collect(), readers, |reader: &Ours| {
                reader.read
            })
        }
        Who::OursToSmoltcp => {
            let readers = (0..row.flows).map(|_| Theirs::new(1, buffer, 0)).collect();
            run(row, ours(0, usage).collect(), readers, |reader: &Theirs| {
                reader.read
            })
        }
        Who::SmoltcpToOurs => {
            let senders = (0..row.flows)
                .map(|_| Theirs::new(0, buffer, u64::MAX))
                .collect();
            run(
                row,
                senders,
                ours(1, Use::default()).collect(),
                |reader: &Ours| reader.read,
            )
        }
    }
}

fn run<S: Peer, R: Peer>(
    row: &Row,
    mut senders: Vec<S>,
    mut readers: Vec<R>,
    read: impl Fn(&R) -> u64,
) -> f64 {
    let faults = Faults {
        reorder: row.reorder,
        overtake: row.overtake,
        ..Faults::loss(row.loss)
    };
    // The rule is about losses of data; acknowledgments get through, though out of order.
    let answers = Faults {
        overtake: row.overtake,
        ..Faults::NONE
    };
    let link = Link {
        rate: RATE,
        delay: row.rtt * MILLISECOND / 2,
        queue: 256 << 10,
        faults: [faults, answers],
    };
    let mut wire = Wire::new(link, 7);
    let warm = Instant((200 + 10 * row.rtt) * MILLISECOND);
    let mut total = [0; 2];
    for (total, until) in total
        .iter_mut()
        .zip([warm, warm + length(row) * MILLISECOND])
    {
        let senders = senders
            .iter_mut()
            .map(|peer| Box::new(peer) as Box<dyn Peer>);
        let pairs = senders.zip(&mut readers);
        let mut flows: Vec<[Box<dyn Peer>; 2]> = pairs
            .map(|(sender, reader)| [sender, Box::new(reader)])
            .collect();
        wire.run(&mut flows, until);
        drop(flows);
        *total = readers.iter().map(&read).sum();
    }

    (total[1] - total[0]) as f64 * 8.0 / (length(row) as f64 * 1e3)
}

/// What one flow may reach: 1.22 · MSS / (RTT · √p), or what the link carries of full segments, or
/// a buffer per round trip.
fn rule(row: &Row) -> f64 {
    let line = RATE as f64 * MSS / 1500.0;
    let window = row.buffer as f64 * 8.0 / (row.rtt as f64 * 1e3);
    let loss = f64::from(row.loss) / 1e6;
    let response = 1.22 * MSS * 8.0 / (row.rtt as f64 * 1e3 * loss.sqrt());
    response.min(line).min(window)
}

const BASE: Row = Row {
    who: Who::OursCubic,
    loss: 0,
    reorder: 0,
    overtake: 0,
    buffer: 256 << 10,
    rtt: 1,
    flows: 1,
};

fn line(row: &Row, goodput: f64) -> String {
    let who = format!("{:?}", row.who);
    let loss = f64::from(row.loss) / 1e4;
    let reorder = f64::from(row.reorder + row.overtake) / 1e4;
    let kib = row.buffer >> 10;
    let rule = match row.flows {
        1 => format!("{:.0}", rule(row)),
        _ => "-".to_owned(),
    };
    let (rtt, flows) = (row.rtt, row.flows);
    format!("{who:<14}{loss:>7.2}{reorder:>10.2}{kib:>8}{rtt:>8}{flows:>7}{goodput:>10.0}{rule:>7}")
}

/// Compares the rows' goodput with a snapshot. Returns what was measured.
fn compare(name: &str, rows: &[Row]) -> Vec<f64> {
    let mut table =
        String::from("who            loss % reorder %     KiB  RTT ms  flows    Mbit/s   rule\n");
    let measured: Vec<f64> = rows.iter().map(measure).collect();
    for (row, &goodput) in rows.iter().zip(&measured) {
        writeln!(table, "{}", line(row, goodput)).expect("a string takes all");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tcp/goodput");
    let path = folder.join(name).with_extension("txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &table).expect("the snapshot can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        table == expected,
        "the table has changed; if that is meant, run this test with UPDATE_SNAPSHOTS=1\n{table}"
    );
    measured
}

const LOSSES: [u32; 6] = [0, 100, 1000, 3000, 10_000, 30_000];

/// This must hold, whatever the snapshot says.
#[test]
fn loss_costs_no_more_than_the_rule() {
    let rows = LOSSES.map(|loss| Row { loss, ..BASE });
    for (row, goodput) in rows.iter().zip(compare("cubic", &rows)) {
        let rule = rule(row);
        assert!(goodput >= 0.9 * rule, "{goodput} of {rule} Mbit/s: {row:?}");
    }
}

#[test]
fn newreno() {
    compare(
        "newreno",
        &LOSSES.map(|loss| Row {
            who: Who::OursNewReno,
            loss,
            ..BASE
        }),
    );
}

#[test]
fn with_smoltcp() {
    let whos = [Who::OursToSmoltcp, Who::SmoltcpToOurs];
    let rows = whos.map(|who| LOSSES.map(|loss| Row { who, loss, ..BASE }));
    compare("smoltcp", &rows.concat());
}

#[test]
fn reordering() {
    let rows = [1000, 20_000, 100_000].map(|reorder| {
        [0, 1000, 10_000].map(|loss| Row {
            loss,
            reorder,
            ..BASE
        })
    });
    compare("reordering", &rows.concat());
}

/// Some packets of both sides overtake the others, which take 1 or 10 ms: nothing is lost, and much
/// seems so.
#[test]
fn overtaking() {
    let rows = [25_000, 250_000].map(|overtake| {
        [(2, 256 << 10), (20, 256 << 10), (20, 1 << 20)].map(|(rtt, buffer)| Row {
            overtake,
            rtt,
            buffer,
            ..BASE
        })
    });
    compare("overtaking", &rows.concat());
}

#[test]
fn buffers_and_delays() {
    let sizes = [(16 << 10, 1), (64 << 10, 1), (1 << 20, 10), (4 << 20, 50)];
    let rows = sizes.map(|(buffer, rtt)| {
        [0, 1000, 10_000].map(|loss| Row {
            loss,
            buffer,
            rtt,
            ..BASE
        })
    });
    compare("buffers", &rows.concat());
}

#[test]
fn several_flows() {
    let rows = [(4, 0), (4, 1000), (4, 10_000), (16, 10_000)];
    let rows = rows.map(|(flows, loss)| Row {
        flows,
        loss,
        ..BASE
    });
    compare("flows", &rows);
}
