//! The frame on a thread's stack between a handler and what it has interrupted: the kernel's
//! `struct rt_sigframe` for x86-64.
//!
//! ```text
//!   0  where the handler returns to        8  struct ucontext (304 bytes)
//! 312  siginfo_t (128 bytes)             440  end
//! ```
//! Above it, aligned to 64 bytes, is the state of the floating-point and vector registers.

use alloc::vec;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::action::Action;
use super::info::INFO_SIZE;
use super::{AlternateStack, Info, Trap};
use crate::machine::{Machine, Registers, USER_END};
use crate::space::{Space, UserError};
use crate::thread::read_words;

/// Bytes below the stack pointer that a leaf function may use (x86-64 psABI).
const RED_ZONE: u64 = 128;

const CONTEXT: usize = 8;
const STACK: usize = CONTEXT + 16;
const GENERAL: usize = CONTEXT + 40;
const SEGMENTS: usize = GENERAL + 144;
const ERROR: usize = SEGMENTS + 8;
const TRAP: usize = SEGMENTS + 16;
const FAULT: usize = SEGMENTS + 32;
const FLOATING_POINT: usize = GENERAL + 184;
const MASK: usize = CONTEXT + 296;
const INFO: usize = 312;
const SIZE: usize = INFO + INFO_SIZE;

/// `uc_flags`: the floating-point state is XSAVE's, and the stack segment is saved.
const FLAGS: u64 = 1 | 2 | 4;

/// Bytes of FXSAVE's part; where it says that there is more, and what it says then.
const LEGACY: usize = 512;
const SOFTWARE: usize = 464;
const MAGIC_1: u32 = 0x4650_5853;
const MAGIC_2: u32 = 0x4650_5845;

/// Where the general registers that a handler is entered with are among all (see
/// [`Registers::general`]).
const RDI: usize = 8;
const RSI: usize = 9;
const RDX: usize = 12;
const RAX: usize = 13;
const RSP: usize = 15;
const RIP: usize = 16;
const FLAGS_REGISTER: usize = 17;

/// The flags that a handler does not inherit: direction, trap, resume.
const CLEARED_FLAGS: u64 = 1 << 10 | 1 << 8 | 1 << 16;

/// Bytes of stack that a signal may take, with extended state of `state` bytes.
#[must_use]
pub const fn frame_bytes(state: usize) -> u64 {
    /// What aligning it may cost, and the mark behind the state.
    const ALIGNING: u64 = 64 + 16 + 8 + 4;
    RED_ZONE + SIZE as u64 + state as u64 + ALIGNING
}

/// What of the thread's signals is restored when the handler returns.
pub(super) struct Saved {
    pub(super) mask: u64,
    pub(super) stack: AlternateStack,
}

/// Pushes a frame, and sets the registers to enter the handler. On failure nothing has changed but
/// memory below the stack pointer.
pub(super) fn push<M: Machine>(
    space: &Space<M>,
    registers: &mut M::Registers,
    info: &Info,
    action: &Action,
    saved: &Saved,
    trap: &Trap,
) -> Result<(), UserError> {
    if !action.has(linux::SA_RESTORER) {
        return Err(UserError::Bad);
    }
    let mut general = registers.general();
    let floating_point = floating_point(registers);
    let (frame, state) = place(
        registers.stack_pointer(),
        floating_point.len(),
        action,
        saved,
    )?;
    if !floating_point.is_empty() {
        space.write(state, &floating_point)?;
    }
    let mut bytes = encode(&general, info, action, saved, state);
    tell(&mut bytes, trap);
    space.write(frame, &bytes)?;
    general[RDI] = u64::from(info.signal.number());
    general[RSI] = frame + INFO as u64;
    general[RDX] = frame + CONTEXT as u64;
    general[RAX] = 0;
    general[RSP] = frame;
    general[RIP] = action.handler;
    general[FLAGS_REGISTER] &= !CLEARED_FLAGS;
    registers.set_general(&general);
    reset_floating_point(registers);
    Ok(())
}

/// Where the frame and the floating-point state go.
fn place(
    stack_pointer: u64,
    state_length: usize,
    action: &Action,
    saved: &Saved,
) -> Result<(u64, u64), UserError> {
    let stack = &saved.stack;
    let is_on = stack.has(stack_pointer);
    let to_alternate = action.has(linux::SA_ONSTACK) && stack.is_usable() && !is_on;
    let top = match to_alternate {
        true => stack.start.wrapping_add(stack.size),
        false => stack_pointer.wrapping_sub(RED_ZONE),
    };
    let state = top.checked_sub(state_length as u64).ok_or(UserError::Bad)? & !63;
    // At the handler's entry the stack is as behind a call: 8 bytes off a multiple of 16.
    let frame = state.checked_sub(SIZE as u64).ok_or(UserError::Bad)? & !15;
    let frame = frame.checked_sub(8).ok_or(UserError::Bad)?;
    // One that has run over the alternate stack must not write below it.
    if (is_on || to_alternate) && !stack.has(frame) || top > USER_END {
        return Err(UserError::Bad);
    }
    Ok((frame, state))
}

/// The floating-point state as it is in a frame.
fn floating_point<R: Registers>(registers: &mut R) -> Vec<u8> {
    let mut state = registers.floating_point().to_vec();
    if state.len() > LEGACY {
        let length = u32::try_from(state.len()).unwrap_or(u32::MAX);
        let features: [u8; 8] = state[LEGACY..LEGACY + 8].try_into().unwrap_or_default();
        state[SOFTWARE..SOFTWARE + 4].copy_from_slice(&MAGIC_1.to_le_bytes());
        state[SOFTWARE + 4..SOFTWARE + 8].copy_from_slice(&(length + 4).to_le_bytes());
        state[SOFTWARE + 8..SOFTWARE + 16].copy_from_slice(&features);
        state[SOFTWARE + 16..SOFTWARE + 20].copy_from_slice(&length.to_le_bytes());
        state.extend(MAGIC_2.to_le_bytes());
    }
    state
}

/// A handler begins with the floating-point state of a program that begins.
fn reset_floating_point<R: Registers>(registers: &mut R) {
    let mut state = vec![0; registers.floating_point().len()];
    if state.len() < LEGACY {
        return;
    }
    state[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    state[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    if state.len() > LEGACY {
        // x87 and SSE are given; all else is in its first state.
        state[LEGACY] = 3;
    }
    let _ = registers.set_floating_point(&state);
}

fn encode(
    general: &[u64; 18],
    info: &Info,
    action: &Action,
    saved: &Saved,
    state: u64,
) -> [u8; SIZE] {
    /// Selectors of 64-bit user code, and of user data, as Linux has them.
    const SELECTORS: [u16; 4] = [0x33, 0, 0, 0x2b];
    let mut bytes = [0; SIZE];
    let mut put = |offset: usize, value: &[u8]| {
        bytes[offset..offset + value.len()].copy_from_slice(value);
    };
    put(0, &action.restorer.to_le_bytes());
    put(CONTEXT, &FLAGS.to_le_bytes());
    put(STACK, &encode_stack(&saved.stack));
    for (index, value) in general.iter().enumerate() {
        put(GENERAL + 8 * index, &value.to_le_bytes());
    }
    for (index, selector) in SELECTORS.iter().enumerate() {
        put(SEGMENTS + 2 * index, &selector.to_le_bytes());
    }
    put(SEGMENTS + 24, &saved.mask.to_le_bytes());
    put(FLOATING_POINT, &state.to_le_bytes());
    put(MASK, &saved.mask.to_le_bytes());
    put(INFO, &info.encode());
    bytes
}

/// Tells a frame which exception was the last.
fn tell(frame: &mut [u8; SIZE], trap: &Trap) {
    let words = [trap.code, trap.number.into()];
    for (place, word) in [ERROR, TRAP].into_iter().zip(words) {
        frame[place..place + 8].copy_from_slice(&word.to_le_bytes());
    }
    frame[FAULT..FAULT + 8].copy_from_slice(&trap.address.to_le_bytes());
}

/// As `stack_t`.
pub(super) fn encode_stack(stack: &AlternateStack) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&stack.start.to_le_bytes());
    bytes[8..12].copy_from_slice(&stack.flags.to_le_bytes());
    bytes[16..].copy_from_slice(&stack.size.to_le_bytes());
    bytes
}

/// Takes the frame whose return address has just been taken from the stack: `rt_sigreturn`(2). The
/// registers are set; what a user may not set is made harmless by them. `UserError::Bad` if the
/// frame cannot be used.
pub(super) fn pop<M: Machine>(
    space: &Space<M>,
    registers: &mut M::Registers,
) -> Result<Saved, UserError> {
    let frame = registers.stack_pointer().wrapping_sub(8);
    let at = |offset: usize| frame.wrapping_add(offset as u64);
    let general: [u64; 18] = read_words(space, at(GENERAL))?;
    let [start, flags, size] = read_words(space, at(STACK))?;
    let [mask] = read_words(space, at(MASK))?;
    let [state] = read_words(space, at(FLOATING_POINT))?;
    if state != 0 {
        pop_floating_point(space, registers, state)?;
    }
    registers.set_general(&general);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the member is 32 bits wide"
    )]
    let flags = flags as u32;
    Ok(Saved {
        mask,
        stack: AlternateStack { start, flags, size },
    })
}

fn pop_floating_point<M: Machine>(
    space: &Space<M>,
    registers: &mut M::Registers,
    address: u64,
) -> Result<(), UserError> {
    let length = registers.floating_point().len();
    let mut state = vec![0; length];
    let legacy = length.min(LEGACY);
    space.read(address, &mut state[..legacy])?;
    if length > LEGACY {
        let magic = &state[SOFTWARE..SOFTWARE + 4];
        if magic == MAGIC_1.to_le_bytes() {
            space.read(address, &mut state)?;
        } else {
            state[LEGACY] = 3;
        }
        // What is the user's to say there is not the processor's to read.
        state[SOFTWARE..LEGACY].fill(0);
    }
    match registers.set_floating_point(&state) {
        true => Ok(()),
        false => Err(UserError::Bad),
    }
}
