//! `later`: runs another program while it is wanted: from a datagram on until another one ends it.
//!
//! So an experiment measures a neighbour's absence and presence in turn, in one run of a machine. There it is
//! `later run`; `later wake` and `later rest`, outside of the machine, ask until they are answered. It is the
//! same on Linux.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often is asked and looked, and for how long.
const EVERY: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of an answer at the most.
const ANSWER: usize = 512;

/// Run a program while it is wanted, or say that it is
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Start a program when it is woken, end it when it is to rest, and so on for ever
    Run {
        /// Where to wait for datagrams
        port: u16,
        /// The program's absolute path, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Have those at some addresses begin; whose program runs already goes on
    Wake {
        /// Whom
        #[arg(required = true)]
        whom: Vec<SocketAddr>,
    },
    /// Have those at some addresses end their programs, until all that was written is on the disk; fails if
    /// one had failed by itself, but not if it was killed
    Rest {
        /// Whom
        #[arg(required = true)]
        whom: Vec<SocketAddr>,
    },
}

/// What is asked of who waits. The answer is the same word, and what is wrong behind it if something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Wake,
    Rest,
}

impl Call {
    const ALL: [Self; 2] = [Self::Wake, Self::Rest];

    const fn word(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Rest => "rest",
        }
    }

    /// The call that a datagram is.
    fn read(datagram: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|call| call.word().as_bytes() == datagram)
    }
}

fn main() -> ExitCode {
    let ended = match Args::parse().what {
        What::Run { port, command } => run(port, &command),
        What::Wake { whom } => whom.into_iter().try_for_each(|one| ask(one, Call::Wake)),
        What::Rest { whom } => whom.into_iter().try_for_each(|one| ask(one, Call::Rest)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("later: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A program that runs now and then.
struct Sleeper<'a> {
    program: &'a str,
    arguments: &'a [String],
    /// While it runs, or has ended by itself and that has not been asked for.
    child: Option<Child>,
    /// What was wrong with how it ended last. Kept, since the same may be asked again.
    wrong: Option<String>,
}

impl<'a> Sleeper<'a> {
    fn new(command: &'a [String]) -> io::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::other("expected a program"))?;
        Ok(Self {
            program,
            arguments,
            child: None,
            wrong: None,
        })
    }

    fn answer(&mut self, call: Call) -> Result<(), String> {
        match call {
            Call::Wake if self.child.is_some() => Ok(()),
            Call::Wake => {
                let mut command = Command::new(self.program);
                // Of its own, so that all that it starts can be ended with it.
                let started = command.args(self.arguments).process_group(0).spawn();
                self.child = Some(started.map_err(|error| format!("{}: {error}", self.program))?);
                Ok(())
            }
            Call::Rest => {
                if let Some(child) = self.child.take() {
                    let ended = end(child);
                    self.wrong = ended
                        .err()
                        .map(|error| format!("{}: {error}", self.program));
                }
                self.wrong.clone().map_or(Ok(()), Err)
            }
        }
    }
}

/// Ends a program and all that it has started, and waits until what they wrote is on the disk: a machine in
/// which it rests has nothing to do for it any more.
fn end(mut child: Child) -> io::Result<()> {
    let group = Pid::from_child(&child);
    // An error means that it has ended by itself, which its status tells.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    // The first process waits for those that it leaves behind. Killed again, since one may just have begun.
    let deadline = Instant::now() + PATIENCE;
    while kill_process_group(group, Signal::KILL).is_ok() {
        if Instant::now() > deadline {
            return Err(io::Error::other("what it has started does not end"));
        }
        std::thread::sleep(LOOK);
    }
    rustix::fs::sync();
    match status.code() {
        // Killed: by this, or by a kernel without memory.
        Some(0) | None => Ok(()),
        Some(_) => Err(io::Error::other(format!("ended by itself, {status}"))),
    }
}

/// Does not come back unless it fails.
fn run(port: u16, command: &[String]) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    serve(&socket, command)
}

fn serve(socket: &UdpSocket, command: &[String]) -> io::Result<()> {
    let mut sleeper = Sleeper::new(command)?;
    let mut datagram = [0; ANSWER];
    loop {
        let (length, from) = socket.recv_from(&mut datagram)?;
        let Some(call) = Call::read(&datagram[..length]) else {
            continue;
        };
        let mut answer = call.word().to_owned();
        if let Err(wrong) = sleeper.answer(call) {
            answer += &wrong;
        }
        let length = answer.len().min(ANSWER);
        socket.send_to(&answer.as_bytes()[..length], from)?;
    }
}

/// Until it says that it has done so.
fn ask(whom: SocketAddr, call: Call) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(whom)?;
    socket.set_read_timeout(Some(EVERY))?;
    let deadline = Instant::now() + PATIENCE;
    let word = call.word().as_bytes();
    let mut answer = [0; ANSWER];
    loop {
        match socket.send(word).and_then(|_| socket.recv(&mut answer)) {
            Ok(length) => match answer[..length].strip_prefix(word) {
                Some([]) => return Ok(()),
                Some(wrong) => {
                    let wrong = String::from_utf8_lossy(wrong);
                    return Err(io::Error::other(format!("{whom}: {wrong}")));
                }
                None => {}
            },
            // It is not there yet, or its answer was lost, or it is still at it.
            Err(error) if Instant::now() > deadline => {
                return Err(io::Error::other(format!("{whom} does not answer: {error}")));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::thread::sleep(EVERY);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who waits with this command, until the tests end.
    fn waiting(command: &[&str]) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        std::thread::spawn(move || serve(&socket, &command));
        address
    }

    #[test]
    fn a_program_runs_from_each_call_to_the_next_with_all_that_it_starts() {
        let folder = std::env::temp_dir().join(format!("later-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mark = folder.join("mark");
        // The one that leaves the mark is a child's child.
        let text = format!("(sleep 1000; true) & echo $! > {}; wait", mark.display());
        let whom = waiting(&["/bin/sh", "-c", &text]);
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..2 {
            ask(whom, Call::Wake).unwrap();
            let child = loop {
                let read = std::fs::read_to_string(&mark).unwrap_or_default();
                if let Ok(child) = read.trim().parse() {
                    break Pid::from_raw(child).unwrap();
                }
                assert!(Instant::now() < deadline, "it does not begin");
                std::thread::sleep(LOOK);
            };
            assert!(rustix::process::test_kill_process(child).is_ok());
            ask(whom, Call::Wake).unwrap();
            ask(whom, Call::Rest).unwrap();
            ask(whom, Call::Rest).unwrap();
            assert!(rustix::process::test_kill_process(child).is_err());
            std::fs::remove_file(&mark).unwrap();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn who_failed_is_told_as_often_as_it_is_asked() {
        let whom = waiting(&["/bin/false"]);
        ask(whom, Call::Wake).unwrap();
        // Killed before it has failed, it has not failed.
        let deadline = Instant::now() + PATIENCE;
        let error = loop {
            match ask(whom, Call::Rest) {
                Err(error) => break error.to_string(),
                Ok(()) => ask(whom, Call::Wake).unwrap(),
            }
            assert!(Instant::now() < deadline, "it never fails by itself");
            std::thread::sleep(LOOK);
        };
        assert!(
            error.contains("/bin/false: ended by itself, exit status: 1"),
            "{error}"
        );
        assert_eq!(ask(whom, Call::Rest).unwrap_err().to_string(), error);
        let nobody = waiting(&["/no/such/program"]);
        let error = ask(nobody, Call::Wake).unwrap_err().to_string();
        assert!(error.contains("/no/such/program: "), "{error}");
    }

    #[test]
    fn what_is_no_call_is_not_answered() {
        assert_eq!(Call::read(b"wake"), Some(Call::Wake));
        assert_eq!(Call::read(b"rest"), Some(Call::Rest));
        assert_eq!(Call::read(b"wakeful"), None);
        assert_eq!(Call::read(b""), None);
    }
}
