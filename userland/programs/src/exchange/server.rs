//! The end that waits for clients: a thread for each order, and one for all that is to come back.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::AsRawFd;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};
use vortex::abi::snapshot::{Counter, Memory, Resource};
use vortex::{Scope, Snapshot};

use super::{ECHO, Order, allow_descriptors, digest_of, write_bytes};
use crate::shares::activity_names;

/// The listener's number among the events.
const LISTENER: u64 = u64::MAX;
/// Descriptors that it may have, and so about as many clients.
const DESCRIPTORS: u64 = 4096;
/// Bytes that come back in one piece.
const PIECE: usize = 512;
/// What ends a connection from this side, when it is the last of a piece.
pub(super) const BYE: u8 = b'!';

/// Serves for ever, at a port and the one behind it.
///
/// # Errors
/// When there is no such port, or so many descriptors are not allowed, or events cannot be waited for.
pub fn serve(port: u16) -> io::Result<()> {
    allow_descriptors(DESCRIPTORS)?;
    let any = Ipv4Addr::UNSPECIFIED;
    let orders = TcpListener::bind((any, port))?;
    let echoes = TcpListener::bind((any, port + ECHO))?;
    println!("exchange: port {port}");
    thread::spawn(move || {
        for client in orders.incoming().flatten() {
            thread::spawn(move || {
                // One whose connection fails has no other way to be told of it.
                let _ = obey(&client);
            });
        }
    });
    echo(&echoes)
}

fn obey(mut client: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let answer = match line.parse()? {
        Order::Put(length) => digest_of(reader, length)?,
        Order::Get(length, seed) => write_bytes(client, length, seed)?,
        Order::Counters => counters()?.to_string(),
        Order::Die => {
            kill_process(getpid(), Signal::KILL)?;
            return Ok(());
        }
    };
    client.write_all(format!("{answer}\n").as_bytes())
}

/// What comes goes back, and a client that has no more is let go.
fn echo(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let data = EventData::new_u64(LISTENER);
    epoll::add(&epoll, listener, data, EventFlags::IN)?;
    let mut clients = BTreeMap::new();
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let number = event.data.u64();
            if number == LISTENER {
                for client in accept(listener) {
                    let number = client.as_raw_fd().unsigned_abs().into();
                    epoll::add(&epoll, &client, EventData::new_u64(number), EventFlags::IN)?;
                    clients.insert(number, client);
                }
            } else if clients.get(&number).is_some_and(|client| !returns(client)) {
                clients.remove(&number);
            }
        }
    }
}

/// Those who wait to be let in.
fn accept(listener: &TcpListener) -> Vec<TcpStream> {
    let accepted = std::iter::from_fn(|| {
        loop {
            match listener.accept() {
                Ok((client, _)) => return Some(client),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    eprintln!("exchange: {error}");
                    return None;
                }
            }
        }
    });
    accepted.collect()
}

/// Gives back what has come; whether the client stays.
fn returns(mut client: &TcpStream) -> bool {
    let mut piece = [0; PIECE];
    match client.read(&mut piece) {
        Ok(0) | Err(_) => false,
        Ok(length) => client.write_all(&piece[..length]).is_ok() && piece[length - 1] != BYE,
    }
}

/// What the machine counts, what is held in memory by activity and resource, and the first descriptor
/// of this process that is free: with a client that has gone and left its own, that is another one.
fn counters() -> io::Result<Value> {
    let snapshot = Snapshot::take(Scope::All)?;
    let reader = snapshot.reader()?;
    let counters: serde_json::Map<_, _> = (reader.records::<Counter>())
        .map(|counter| (counter.name.to_string(), counter.value.into()))
        .collect();
    let resources: BTreeMap<u64, String> = (reader.records::<Resource>())
        .map(|resource| (resource.resource, resource.name.to_string()))
        .collect();
    let activities = activity_names(&reader);
    let mut memory: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for held in reader.records::<Memory>() {
        let activity = activities.get(&held.activity).cloned().unwrap_or_default();
        if let Some(resource) = resources.get(&held.resource) {
            *memory
                .entry(activity)
                .or_default()
                .entry(resource.clone())
                .or_default() += held.held;
        }
    }
    let descriptor = std::fs::File::open("/dev/null")?.as_raw_fd();
    Ok(json!({ "counters": counters, "memory": memory, "descriptor": descriptor }))
}
