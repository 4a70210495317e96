//! The hot paths of the inbox, to be counted: instructions per operation are the difference
//! between two runs of different length under `valgrind --tool=callgrind`, divided by the
//! difference of the lengths. The paths are functions of their own, so that their locked
//! operations show in a disassembly.

use std::hint::black_box;
use std::process::ExitCode;

use vortex_queue::{Counter, Receiver, Sender, Wake, channel};

/// A message about as large as a request of the toolkit.
type Message = [u64; 7];

#[inline(never)]
fn push_one(sender: &Sender<Message>, message: &Message) -> Option<Wake> {
    sender.push(*message).ok()
}

#[inline(never)]
fn pop_one(receiver: &mut Receiver<Message>, message: &mut Message) -> bool {
    receiver.pop().map(|popped| *message = popped).is_some()
}

#[inline(never)]
fn try_sleep(receiver: &mut Receiver<Message>) -> bool {
    receiver.try_sleep()
}

#[inline(never)]
fn add(counter: &Counter, n: u64) {
    counter.add(n);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (operation, times) = match arguments.as_slice() {
        [operation, times] => (operation.as_str(), times.parse::<u64>().ok()),
        _ => ("", None),
    };
    let Some(times) = times else {
        eprintln!("usage: hot_path none|push-pop|pop-empty|sleep-push-pop|add TIMES");
        return ExitCode::FAILURE;
    };
    let (sender, mut receiver) = channel(64);
    let (mut message, counter) = ([0; 7], Counter::new());
    for n in 0..times {
        message[0] = n;
        match operation {
            "none" => {}
            "push-pop" => {
                assert_eq!(push_one(&sender, black_box(&message)), Some(Wake::Awake));
                assert!(pop_one(&mut receiver, black_box(&mut message)));
            }
            "pop-empty" => assert!(!pop_one(&mut receiver, black_box(&mut message))),
            "sleep-push-pop" => {
                assert!(try_sleep(&mut receiver));
                assert_eq!(
                    push_one(&sender, black_box(&message)),
                    Some(Wake::WasAsleep)
                );
                assert!(pop_one(&mut receiver, black_box(&mut message)));
            }
            "add" => add(black_box(&counter), n),
            other => {
                eprintln!("unknown operation `{other}`: see the usage without arguments");
                return ExitCode::FAILURE;
            }
        }
    }
    black_box((message, counter.get()));
    ExitCode::SUCCESS
}
