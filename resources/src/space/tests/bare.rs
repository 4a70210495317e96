//! A machine that has memory and nothing else.

use vortex_toolkit::Platform;
use vortex_toolkit::ids::CoreId;
use vortex_toolkit::memory::Frames;

use crate::fake::memory::{Memory, Root, Tables};
use crate::machine::{Exit, Frame, Machine, Registers};

/// See above.
#[derive(Clone, Debug)]
pub(super) struct Bare(pub(super) Memory);

/// What there is none of.
#[derive(Debug)]
pub(super) enum Never {}

impl Frames for Bare {
    fn take(&self) -> Option<Frame> {
        self.0.take()
    }
    fn give(&self, frame: Frame) {
        self.0.give(frame);
    }
    fn limit(&self) -> usize {
        self.0.limit()
    }
    fn available(&self) -> usize {
        self.0.available()
    }
}

impl Machine for Bare {
    type Platform = Never;
    type Tables = Tables;
    type Registers = Never;

    fn zero_frame(&self, frame: Frame) {
        self.0.zero_frame(frame);
    }
    fn copy_frame(&self, from: Frame, to: Frame) {
        self.0.copy_frame(from, to);
    }
    fn copy_part(&self, from: (Frame, usize), to: (Frame, usize), length: usize) {
        self.0.copy_part(from, to, length);
    }
    fn read_frame(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        self.0.read_frame(frame, offset, into);
    }
    fn write_frame(&self, frame: Frame, offset: usize, from: &[u8]) {
        self.0.write_frame(frame, offset, from);
    }
    fn load_u32(&self, frame: Frame, offset: usize) -> u32 {
        self.0.load_u32(frame, offset)
    }
    fn compare_exchange_u32(
        &self,
        frame: Frame,
        offset: usize,
        current: u32,
        new: u32,
    ) -> Result<u32, u32> {
        self.0.compare_exchange_u32(frame, offset, current, new)
    }
    fn new_tables(&self, frames: &mut dyn FnMut() -> Option<Frame>) -> Option<Tables> {
        self.0.new_tables(frames)
    }
    fn run(&self, _: &Root, registers: &mut Never, _: &mut dyn FnMut() -> bool) -> Exit {
        match *registers {}
    }
    fn leave(&self, registers: &mut Never) {
        match *registers {}
    }
    fn set_deadline(&self, _: u64) {}
    fn interrupt(&self, _: CoreId) {}
    fn here(&self) -> CoreId {
        CoreId(0)
    }
    fn now(&self) -> u64 {
        0
    }
    fn hertz(&self) -> u64 {
        1
    }
    fn epoch_ns(&self) -> u64 {
        0
    }
    fn random(&self, into: &mut [u8]) {
        into.fill(4);
    }
    fn write_console(&self, _: &[u8]) {}
    fn read_console(&self, _: &mut [u8]) -> usize {
        0
    }
}

impl Platform for Never {
    fn now(&self) -> u64 {
        match *self {}
    }
    fn core(&self) -> CoreId {
        match *self {}
    }
    fn interrupt_cycles(&self) -> u64 {
        match *self {}
    }
    fn wake(&self, _: CoreId) {
        match *self {}
    }
    fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        || match *self {}
    }
    fn set_timer(&self, _: u64) {
        match *self {}
    }
}

impl Registers for Never {
    fn new(_: u64, _: u64) -> Self {
        panic!("nothing runs on this machine")
    }
    fn fork(&mut self) -> Self {
        match *self {}
    }
    fn number(&self) -> u64 {
        match *self {}
    }
    fn arguments(&self) -> [u64; 6] {
        match *self {}
    }
    fn set_result(&mut self, _: u64) {
        match *self {}
    }
    fn instruction_pointer(&self) -> u64 {
        match *self {}
    }
    fn stack_pointer(&self) -> u64 {
        match *self {}
    }
    fn set_stack_pointer(&mut self, _: u64) {
        match *self {}
    }
    fn restart_call(&mut self, _: u64) {
        match *self {}
    }
    fn fs_base(&self) -> u64 {
        match *self {}
    }
    fn set_fs_base(&mut self, _: u64) -> bool {
        match *self {}
    }
    fn gs_base(&self) -> u64 {
        match *self {}
    }
    fn set_gs_base(&mut self, _: u64) -> bool {
        match *self {}
    }
    fn general(&mut self) -> [u64; 18] {
        match *self {}
    }
    fn set_general(&mut self, _: &[u64; 18]) {
        match *self {}
    }
    fn floating_point(&mut self) -> &[u8] {
        match *self {}
    }
    fn set_floating_point(&mut self, _: &[u8]) -> bool {
        match *self {}
    }
}
