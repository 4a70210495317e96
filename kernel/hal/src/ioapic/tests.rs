//! Against a fake chip that behaves as the datasheet says.

use super::*;

/// An I/O APIC of which the test sees the indirect registers.
struct FakeChip {
    select: u32,
    indirect: [u32; 256],
    /// Every write of an indirect register, in order.
    writes: Vec<(u32, u32)>,
}

impl FakeChip {
    fn new(inputs: u32) -> Self {
        let mut indirect = [0; 256];
        indirect[1] = 0x20 | ((inputs - 1) << 16);
        Self {
            select: 0,
            indirect,
            writes: Vec::new(),
        }
    }
}

impl Registers for FakeChip {
    fn read8(&self, _: usize) -> u8 {
        unreachable!("the datasheet allows 32-bit accesses only")
    }

    fn read16(&self, _: usize) -> u16 {
        unreachable!("the datasheet allows 32-bit accesses only")
    }

    fn read32(&self, offset: usize) -> u32 {
        match offset {
            SELECT => self.select,
            WINDOW => self.indirect[self.select as usize],
            _ => u32::MAX,
        }
    }

    fn write8(&mut self, _: usize, _: u8) {
        unreachable!("the datasheet allows 32-bit accesses only")
    }

    fn write16(&mut self, _: usize, _: u16) {
        unreachable!("the datasheet allows 32-bit accesses only")
    }

    fn write32(&mut self, offset: usize, value: u32) {
        match offset {
            SELECT => self.select = value & 0xff,
            WINDOW => {
                self.indirect[self.select as usize] = value;
                self.writes.push((self.select, value));
            }
            _ => {}
        }
    }
}

fn route(input: u32) -> Route {
    Route {
        input,
        polarity: Polarity::ActiveHigh,
        trigger: Trigger::Edge,
    }
}

fn two_chips() -> Chips<FakeChip> {
    let chip = |inputs, first| Chip::new(FakeChip::new(inputs), first).expect("it answers");
    Chips {
        all: vec![chip(24, 0), chip(8, 24)],
        ..Chips::none()
    }
}

#[test]
fn all_inputs_are_masked_at_first() {
    let chips = two_chips();
    assert_eq!((chips.all[0].inputs, chips.all[1].inputs), (24, 8));
    for input in 0..24 {
        assert_eq!(chips.all[0].registers.indirect[0x10 + 2 * input], MASKED);
    }
}

#[test]
fn a_chip_that_does_not_answer_is_noticed() {
    let mut chip = FakeChip::new(1);
    chip.indirect[1] = u32::MAX;
    assert!(Chip::new(chip, 0).is_none());
}

#[test]
fn a_line_is_connected_at_the_chip_that_has_it() {
    let mut chips = two_chips();
    assert_eq!(chips.connect(route(4), 0x34, 3), Ok(()));
    assert_eq!(chips.all[0].registers.indirect[0x18..0x1a], [0x34, 3 << 24]);
    let low_level = Route {
        input: 26,
        polarity: Polarity::ActiveLow,
        trigger: Trigger::Level,
    };
    assert_eq!(chips.connect(low_level, 0x35, 0), Ok(()));
    assert_eq!(chips.all[1].registers.indirect[0x14], 0xa035);
}

#[test]
fn the_destination_is_written_while_the_input_is_masked() {
    let mut chips = two_chips();
    chips.all[0].registers.writes.clear();
    assert_eq!(chips.connect(route(4), 0x34, 3), Ok(()));
    assert_eq!(
        chips.all[0].registers.writes,
        [(0x18, MASKED), (0x19, 3 << 24), (0x18, 0x34)]
    );
}

#[test]
fn masking_keeps_the_rest() {
    let mut chips = two_chips();
    assert_eq!(chips.connect(route(4), 0x34, 3), Ok(()));
    assert_eq!(
        chips.with(4, |chip, local| chip.set_masked(local, true)),
        Ok(())
    );
    assert_eq!(chips.all[0].registers.indirect[0x18], MASKED | 0x34);
    assert_eq!(
        chips.with(4, |chip, local| chip.set_masked(local, false)),
        Ok(())
    );
    assert_eq!(chips.all[0].registers.indirect[0x18], 0x34);
}

#[test]
fn what_cannot_be_connected_is_told() {
    let mut chips = two_chips();
    assert_eq!(
        chips.connect(route(32), 0x34, 0),
        Err(IoApicError::NoSuchInput(32))
    );
    assert_eq!(
        chips.connect(route(4), 0x34, 255),
        Err(IoApicError::FarCore(255))
    );
    assert_eq!(
        chips.connect(route(4), 0x34, 0x100),
        Err(IoApicError::FarCore(0x100))
    );
}

/// Ports that remember what was written.
#[derive(Default)]
struct Recorder(Vec<(u16, u8)>);

impl Ports for Recorder {
    fn read8(&mut self, _: u16) -> u8 {
        u8::MAX
    }

    fn read16(&mut self, _: u16) -> u16 {
        u16::MAX
    }

    fn read32(&mut self, _: u16) -> u32 {
        u32::MAX
    }

    fn write8(&mut self, port: u16, value: u8) {
        self.0.push((port, value));
    }

    fn write16(&mut self, _: u16, _: u16) {
        unreachable!("the 8259 has 8-bit ports")
    }

    fn write32(&mut self, _: u16, _: u32) {
        unreachable!("the 8259 has 8-bit ports")
    }
}

#[test]
fn the_8259s_end_masked_with_vectors_above_the_exceptions() {
    let mut ports = Recorder::default();
    silence_8259(&mut ports);
    for (data, first_vector) in [(0x21, 0x20), (0xa1, 0x28)] {
        let written: Vec<u8> = ports
            .0
            .iter()
            .filter(|(port, _)| *port == data)
            .map(|&(_, value)| value)
            .collect();
        assert_eq!(
            (written.first(), written.last()),
            (Some(&first_vector), Some(&0xff))
        );
    }
}

#[test]
fn a_pin_is_level_triggered_and_has_its_input_for_itself() {
    let mut chips = two_chips();
    assert_eq!(chips.connect_pin(11, 0x40, 2), Ok(11));
    assert_eq!(
        chips.all[0].registers.indirect[0x26..0x28],
        [0xa040, 2 << 24]
    );
    assert_eq!(chips.connect_pin(11, 0x41, 2), Err(IoApicError::Taken(11)));
    assert_eq!(chips.all[0].registers.indirect[0x26], 0xa040);
}

#[test]
fn an_old_line_arrives_as_on_every_pc_unless_the_tables_say_otherwise() {
    let mut chips = two_chips();
    let absent = Err(IoApicError::NoSuchInput(3));
    assert_eq!(chips.connect_line(3, 0x50, 1), absent);
    chips.lines = Some(Interrupts::default());
    assert_eq!(chips.connect_line(3, 0x50, 1), Ok(()));
    // Edge-triggered, active high.
    assert_eq!(chips.all[0].registers.indirect[0x16..0x18], [0x50, 1 << 24]);
}
