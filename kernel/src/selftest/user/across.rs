//! User mode with a second core: a thread that moves, and a page that is taken away under a thread
//! that uses it elsewhere.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;
use vortex_hal::address_space::Access;
use vortex_hal::cores::{self, Core};
use vortex_hal::user::{self, Exit};
use vortex_hal::{user_frames, wakeup};
use vortex_kernel_base::address::Frame;

use super::super::wait_for;
use super::{
    DATA, Failure, PAGE_FAULT, PRESENT, Process, USER, WRITE, check_values, ensure, equal,
    floating_point_process,
};
use crate::jobs;

/// What the other core works on, and how it went.
static PROCESS: Mutex<Option<Process>> = Mutex::new(None);
static RESULT: Mutex<Option<Result<(), Failure>>> = Mutex::new(None);
/// The other core is to let go of its process.
static STOP: AtomicBool = AtomicBool::new(false);

pub(super) fn check() -> Result<(), Failure> {
    let Some(other) = cores::online_others().next() else {
        return Ok(());
    };
    check_move(other)?;
    check_flush(other)?;
    check_release(other)
}

/// What the other core reported, once it has.
fn result() -> Result<(), Failure> {
    wait_for(
        || RESULT.lock().is_some(),
        format_args!("the other core's thread did not end"),
    )?;
    RESULT.lock().take().unwrap_or(Ok(()))
}

fn take_process() -> Result<Process, Failure> {
    let process = PROCESS.lock().take();
    process.ok_or_else(|| Failure::new(format_args!("the other core lost its process")))
}

/// A thread begins here and goes on on the other core.
fn check_move(other: &Core) -> Result<(), Failure> {
    let mut process = floating_point_process(0x5555_5555)?;
    process.registers.park();
    *PROCESS.lock() = Some(process);
    jobs::give(other, || {
        let mut guard = PROCESS.lock();
        let outcome = guard.as_mut().map_or(Ok(()), |process| {
            let outcome = check_values(process, 0x5555_5555);
            process.registers.park();
            outcome
        });
        drop(guard);
        *RESULT.lock() = Some(outcome);
    });
    result()?;
    take_process()?.end()
}

/// Counts at the address in rdi for ever.
const COUNT: [u8; 5] = [
    0x48, 0xff, 0x07, // inc qword [rdi]
    0xeb, 0xfb, // back to it
];

fn counting_process() -> Result<Process, Failure> {
    let mut process = Process::new(&COUNT)?;
    process.set_argument(DATA);
    Ok(process)
}

/// Once the page is read-only and flushed, the other core's thread writes it no more.
fn check_flush(other: &Core) -> Result<(), Failure> {
    let process = counting_process()?;
    let (root, data) = (process.root.clone(), process.data);
    // The thread goes there, the tables stay here.
    let Process {
        mut space,
        registers,
        tables,
        ..
    } = process;
    static THREAD: Mutex<Option<(vortex_hal::address_space::Root, user::Registers)>> =
        Mutex::new(None);
    *THREAD.lock() = Some((root.clone(), registers));
    jobs::give(other, || {
        let mut thread = THREAD.lock();
        let outcome = thread.as_mut().map_or(Ok(()), |(root, registers)| {
            let exit = loop {
                match user::run(root, registers, || true) {
                    Exit::Interrupt => {}
                    exit => break exit,
                }
            };
            registers.park();
            expect_write_fault(exit)
        });
        drop(thread);
        *RESULT.lock() = Some(outcome);
    });
    let count = || user_frames::load_u32(data, 0);
    wait_for(
        || count() > 1000,
        format_args!("the other core's thread does not count"),
    )?;
    let read_only = Access {
        write: false,
        execute: false,
    };
    ensure(
        space.protect(DATA, read_only),
        format_args!("the data page is gone"),
    )?;
    space.flush(DATA, 1);
    let stopped_at = count();
    result()?;
    equal("the count after the flush", &count(), &stopped_at)?;
    let (_, registers) = THREAD
        .lock()
        .take()
        .ok_or_else(|| Failure::new(format_args!("the thread is gone")))?;
    let process = Process {
        space,
        root,
        registers,
        data,
        tables,
    };
    process.end()
}

fn expect_write_fault(exit: Exit) -> Result<(), Failure> {
    let Exit::Exception(exception) = exit else {
        return Err(Failure::new(format_args!("{exit:?} after the flush")));
    };
    let found = (
        exception.vector(),
        exception.error_code(),
        exception.address(),
    );
    let expected = (PAGE_FAULT, USER | WRITE | PRESENT, Some(DATA));
    equal("the exception after the flush", &found, &expected)
}

/// Tables that another core has loaded still are taken apart safely: it goes on with the kernel's.
fn check_release(other: &Core) -> Result<(), Failure> {
    *PROCESS.lock() = Some(counting_process()?);
    STOP.store(false, Ordering::Release);
    jobs::give(other, || {
        let mut guard = PROCESS.lock();
        if let Some(process) = guard.as_mut() {
            let stop = || STOP.load(Ordering::Acquire);
            while user::run(&process.root, &mut process.registers, || !stop()) == Exit::Interrupt {}
            process.registers.park();
        }
        drop(guard);
        *RESULT.lock() = Some(Ok(()));
    });
    STOP.store(true, Ordering::Release);
    wakeup::interrupt(other);
    result()?;
    take_process()?.end()?;
    overwrite_free_frames();
    jobs::give(other, || *RESULT.lock() = Some(Ok(())));
    result()
}

/// Zeros the frames that were freed last: a core whose tables are there does not go on.
fn overwrite_free_frames() {
    let frames: Vec<Frame> = core::iter::from_fn(user_frames::allocate)
        .take(64)
        .collect();
    frames.iter().copied().for_each(user_frames::zero);
    frames.into_iter().for_each(user_frames::free);
}
