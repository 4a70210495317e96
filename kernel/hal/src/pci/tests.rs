//! Against a fake configuration space of functions that behave as the specification says, and of
//! ones that do not.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::config::{ConfigPorts, bus_address, offset_in_bus};
use super::*;
use crate::io::{Ports, Registers};

/// One function: its registers, and which bits of each can be written.
#[derive(Clone)]
struct FakeFunction {
    words: [u32; 64],
    writable: [u32; 64],
}

impl FakeFunction {
    fn new(vendor: u16, device: u16, class: u8) -> Self {
        let mut function = Self {
            words: [0; 64],
            writable: [0; 64],
        };
        function.words[0] = u32::from(vendor) | u32::from(device) << 16;
        function.words[2] = u32::from(class) << 24;
        function.writable[1] = 0x0000_ffff;
        function
    }

    /// A bridge to a bus.
    fn bridge(secondary: u8) -> Self {
        let mut bridge = Self::new(0x8086, 0x244e, 6);
        bridge.words[2] |= 4 << 16;
        bridge.words[3] = 1 << 16;
        bridge.words[6] = u32::from(secondary) << 8;
        bridge
    }

    fn with(mut self, word: usize, value: u32, writable: u32) -> Self {
        self.words[word] = value;
        self.writable[word] = writable;
        self
    }

    /// A capability at this offset.
    fn capability(mut self, offset: u8, id: u8, next: u8, control: u16) -> Self {
        self.words[1] |= 1 << 20;
        if self.words[13] == 0 {
            self.words[13] = offset.into();
        }
        let word = usize::from(offset / 4);
        self.words[word] = u32::from_le_bytes([id, next, 0, 0]) | u32::from(control) << 16;
        self.writable[word] = 0xffff_0000;
        self
    }
}

/// Configuration space with functions at (bus, device, function).
#[derive(Default)]
struct Fake {
    functions: RefCell<BTreeMap<(u8, u8, u8), FakeFunction>>,
    /// Writes of base address registers while the function decodes addresses.
    probed_while_decoding: RefCell<Vec<(PciAddress, u16)>>,
    reads: RefCell<usize>,
}

impl Fake {
    fn new(functions: &[((u8, u8, u8), FakeFunction)]) -> Self {
        let functions = functions.iter().cloned().collect();
        Self {
            functions: RefCell::new(functions),
            ..Self::default()
        }
    }

    fn word(&self, place: (u8, u8, u8), word: usize) -> u32 {
        self.functions.borrow()[&place].words[word]
    }

    fn scan(&self) -> Vec<Function> {
        scan::all(self, &[PciAddress::new(0, 0, 0, 0)])
    }
}

fn place(address: PciAddress) -> (u8, u8, u8) {
    (address.bus(), address.device(), address.function())
}

impl ConfigSpace for Fake {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        *self.reads.borrow_mut() += 1;
        assert!(
            offset < 256 && offset.is_multiple_of(4),
            "offset {offset:#x}"
        );
        let functions = self.functions.borrow();
        functions
            .get(&place(address))
            .map_or(u32::MAX, |f| f.words[usize::from(offset / 4)])
    }

    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        let mut functions = self.functions.borrow_mut();
        let Some(function) = functions.get_mut(&place(address)) else {
            return;
        };
        let word = usize::from(offset / 4);
        if (4..10).contains(&word) && function.words[1] & 0b11 != 0 {
            self.probed_while_decoding
                .borrow_mut()
                .push((address, offset));
        }
        let writable = function.writable[word];
        function.words[word] = (function.words[word] & !writable) | (value & writable);
    }
}

/// A network card as QEMU has it: a port range, two in memory, MSI-X behind another capability.
fn network_card() -> FakeFunction {
    FakeFunction::new(0x1af4, 0x1041, 2)
        .with(1, 0x0010_0007, 0xffff)
        .with(4, 0xc001, 0xffff_ffe0)
        .with(5, 0xfebd_1000, 0xffff_f000)
        .with(8, 0xfe00_000c, 0xffff_c000)
        .with(9, 0x0000_00e0, 0xffff_ffff)
        .with(11, 0x1100_1af4, 0)
        .with(15, 0x010b, 0xff)
        .capability(0x98, 0x09, 0x84, 0)
        .capability(0x84, 0x11, 0, 3)
        .with(0x88 / 4, 0x0000_0001, 0)
}

const NETWORK: (u8, u8, u8) = (0, 3, 0);

#[test]
fn a_function_is_described_whole() {
    let fake = Fake::new(&[(NETWORK, network_card())]);
    let found = fake.scan();
    assert_eq!(found.len(), 1);
    let function = &found[0];
    assert_eq!(
        (function.vendor, function.device, function.class),
        (0x1af4, 0x1041, [2, 0, 0])
    );
    assert_eq!(function.subsystem, [0x1af4, 0x1100]);
    assert_eq!(function.interrupt_pin, Some(1));
    let memory = |prefetchable, wide| BarKind::Memory { prefetchable, wide };
    let expected = [
        Some(Bar {
            address: 0xc000,
            size: 32,
            kind: BarKind::Ports,
        }),
        Some(Bar {
            address: 0xfebd_1000,
            size: 4096,
            kind: memory(false, false),
        }),
        None,
        None,
        Some(Bar {
            address: 0xe0_fe00_0000,
            size: 16384,
            kind: memory(true, true),
        }),
        None,
    ];
    assert_eq!(function.bars, expected);
    assert_eq!(function.msix_vectors(), 4);
    assert_eq!(
        function.to_string(),
        "0000:00:03.0 1af4:1041 EthernetController, BAR 0 port 0xc000 (32 B), \
         BAR 1 memory 0xfebd1000 (4 KiB), BAR 4 memory 0xe0fe000000 (16 KiB), MSI-X 4"
    );
}

#[test]
fn sizing_leaves_all_as_it_was_and_happens_while_nothing_is_decoded() {
    let fake = Fake::new(&[(NETWORK, network_card())]);
    let before = fake.functions.borrow()[&NETWORK].words;
    assert_eq!(fake.scan().len(), 1);
    assert_eq!(fake.functions.borrow()[&NETWORK].words, before);
    assert_eq!(fake.probed_while_decoding.borrow().as_slice(), []);
}

#[test]
fn bridges_are_followed_and_each_bus_is_visited_once() {
    let card = || FakeFunction::new(0x1234, 1, 1);
    let fake = Fake::new(&[
        ((0, 0, 0), FakeFunction::new(0x8086, 0x29c0, 6)),
        ((0, 1, 0), FakeFunction::bridge(1)),
        ((0, 2, 0), FakeFunction::bridge(2)),
        ((0, 4, 0), FakeFunction::bridge(0)),
        ((1, 0, 0), FakeFunction::bridge(3)),
        // Back to where it came from, and to itself.
        ((2, 0, 0), FakeFunction::bridge(0)),
        ((2, 1, 0), FakeFunction::bridge(2)),
        ((2, 2, 0), FakeFunction::bridge(1)),
        ((3, 31, 0), card()),
        ((9, 0, 0), card()),
    ]);
    let places: Vec<(u8, u8, u8)> = fake.scan().iter().map(|f| place(f.address)).collect();
    let mut unique = places.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(places.len(), unique.len(), "each once");
    assert!(places.contains(&(3, 31, 0)), "behind two bridges");
    assert!(!places.contains(&(9, 0, 0)), "behind none");
    assert_eq!(places.len(), 9);
}

#[test]
fn other_functions_are_looked_for_where_the_first_says_so() {
    let single = || FakeFunction::new(0x8086, 1, 6);
    let fake = Fake::new(&[
        ((0, 0x1f, 0), single().with(3, 0x0080_0000, 0)),
        ((0, 0x1f, 2), single()),
        ((0, 0x1f, 7), single()),
        ((0, 5, 0), single()),
        ((0, 5, 1), single()),
        ((0, 6, 1), single()),
    ]);
    let places: Vec<(u8, u8, u8)> = fake.scan().iter().map(|f| place(f.address)).collect();
    assert_eq!(
        places,
        [(0, 5, 0), (0, 0x1f, 0), (0, 0x1f, 2), (0, 0x1f, 7)]
    );
}

#[test]
fn damaged_capability_lists_count_as_empty() {
    let card = || FakeFunction::new(0x1234, 1, 2);
    let damaged = [
        card().capability(0x40, 0x05, 0x40, 0),
        card()
            .capability(0x40, 0x00, 0x44, 0)
            .capability(0x44, 0x00, 0x40, 0),
        card().capability(0x40, 0x05, 0x20, 0),
        card().capability(0x40, 0x05, 0x61, 0),
        card().capability(0x40, 0x05, 0, 0).with(13, 0x03, 0),
        card().capability(0x40, 0xff, 0xff, 0xffff),
    ];
    for function in damaged {
        let fake = Fake::new(&[(NETWORK, function)]);
        let found = fake.scan();
        assert!(found[0].msi.is_none(), "{:?}", found[0].msi);
    }
}

#[test]
fn nonsense_in_base_address_registers_is_left_out() {
    let card = || FakeFunction::new(0x1234, 1, 2);
    let bars = |function: FakeFunction| Fake::new(&[(NETWORK, function)]).scan()[0].bars;
    assert_eq!(
        bars(card().with(4, 0x0000_0002, 0xffff_f000)),
        [None; 6],
        "a reserved type"
    );
    assert_eq!(
        bars(card().with(4, 0, 0xf0ff_f000)),
        [None; 6],
        "bits with a gap"
    );
    assert_eq!(
        bars(card().with(4, 0xfeb0_0000, 0)),
        [None; 6],
        "nothing to change"
    );
    assert_eq!(
        bars(card().with(9, 0x0000_0004, 0xffff_f000)),
        [None; 6],
        "no upper half"
    );
    let upper_half_only = card().with(4, 0x4, 0).with(5, 0x20, 0xffff_fff0);
    let kind = BarKind::Memory {
        prefetchable: false,
        wide: true,
    };
    let expected = Bar {
        address: 0x20_0000_0000,
        size: 1 << 36,
        kind,
    };
    assert_eq!(bars(upper_half_only)[0], Some(expected), "64 GiB");
}

#[test]
fn the_registers_of_bridges_are_not_probed() {
    let host = FakeFunction::new(0x8086, 0x29c0, 6).with(4, 0xf000_0000, 0xff00_0000);
    let fake = Fake::new(&[((0, 0, 0), host)]);
    assert_eq!(fake.scan()[0].bars, [None; 6]);
}

#[test]
fn msi_is_programmed_while_off() {
    for (control, data_word) in [(0x0080, 0x4c / 4), (0x0000, 0x48 / 4)] {
        let card = FakeFunction::new(0x1234, 1, 2).capability(0x40, 0x05, 0, control | 0x71);
        let card = card
            .with(0x44 / 4, 0, !0b11)
            .with(0x48 / 4, 0, !0)
            .with(0x4c / 4, 0, 0xffff);
        let fake = Fake::new(&[(NETWORK, card)]);
        let function = fake.scan().remove(0);
        let message = Message::new(0x41, 3).expect("a near core");
        assert_eq!(function.enable_msi_in(&fake, message), Ok(()));
        assert_eq!(fake.word(NETWORK, 0x44 / 4), 0xfee0_3000);
        assert_eq!(fake.word(NETWORK, data_word), 0x41);
        assert_eq!(
            fake.word(NETWORK, 0x40 / 4) >> 16,
            u32::from(control) | 1,
            "one vector, on"
        );
        assert_eq!(fake.word(NETWORK, 1) & 0x400, 0x400, "the line is silent");
    }
}

/// A table in memory that remembers the order of writes.
struct FakeTable(Vec<u32>, Vec<(usize, u32)>);

impl Registers for FakeTable {
    fn read8(&self, _: usize) -> u8 {
        unreachable!("the table has 32-bit words")
    }

    fn read16(&self, _: usize) -> u16 {
        unreachable!("the table has 32-bit words")
    }

    fn read32(&self, offset: usize) -> u32 {
        self.0[offset / 4]
    }

    fn write8(&mut self, _: usize, _: u8) {
        unreachable!("the table has 32-bit words")
    }

    fn write16(&mut self, _: usize, _: u16) {
        unreachable!("the table has 32-bit words")
    }

    fn write32(&mut self, offset: usize, value: u32) {
        self.0[offset / 4] = value;
        self.1.push((offset, value));
    }
}

#[test]
fn msix_starts_masked_and_entries_are_changed_while_masked() {
    let fake = Fake::new(&[(NETWORK, network_card())]);
    let function = fake.scan().remove(0);
    assert_eq!(function.msix_table(), Ok((0xfebd_1000, 64)));
    let registers = FakeTable(vec![0; 16], Vec::new());
    let mut table = function
        .enable_msix_in(&fake, registers)
        .expect("it has MSI-X");
    assert_eq!(
        fake.word(NETWORK, 0x84 / 4) >> 16,
        0x8003,
        "on, and no function mask"
    );
    assert_eq!(table.len(), 4);
    for entry in 0..4 {
        assert_eq!(table.registers.0[4 * entry + 3], 1, "masked");
    }
    let message = Message::new(0x55, 7).expect("a near core");
    assert_eq!(table.set(2, message), Ok(()));
    assert_eq!(table.registers.0[8..12], [0xfee0_7000, 0, 0x55, 0]);
    let writes = &table.registers.1;
    assert_eq!(writes[writes.len() - 5], (44, 1), "masked first");
    assert_eq!(writes.last(), Some(&(44, 0)), "unmasked last");
    assert_eq!(table.set(4, message), Err(PciError::NoMsixEntry(4)));
}

#[test]
fn an_msix_table_outside_its_registers_is_refused() {
    let with_table = |table: u32| Fake::new(&[(NETWORK, network_card().with(0x88 / 4, table, 0))]);
    let error = |table| with_table(table).scan()[0].msix_table();
    assert_eq!(error(0x0fc0 | 1), Ok((0xfebd_1fc0, 64)));
    assert_eq!(error(0x0fc8 | 1), Err(PciError::BadMsixTable));
    assert_eq!(error(0xffff_fff8 | 1), Err(PciError::BadMsixTable));
    assert_eq!(error(0), Err(PciError::NotMemory(0)));
    assert_eq!(error(2), Err(PciError::NoBar(2)));
    assert_eq!(error(7), Err(PciError::NoBar(7)));
    let without = Fake::new(&[(NETWORK, FakeFunction::new(1, 1, 2))]);
    assert_eq!(without.scan()[0].msix_table(), Err(PciError::NoMsix));
}

#[test]
fn only_near_cores_take_messages() {
    assert!(Message::new(0x30, 254).is_ok());
    assert_eq!(Message::new(0x30, 255), Err(PciError::FarCore(255)));
    assert_eq!(Message::new(0x30, 256), Err(PciError::FarCore(256)));
}

#[test]
fn configuration_in_memory_lies_where_the_specification_says() {
    let region = EcamRegion {
        base: 0xe000_0000,
        segment: 0,
        first_bus: 16,
        last_bus: 31,
    };
    let address = |bus| PciAddress::new(0, bus, 0, 0);
    assert_eq!(
        bus_address(&[region], address(16)),
        Some(0xe100_0000),
        "bus 0 is at the base"
    );
    assert_eq!(bus_address(&[region], address(15)), None);
    assert_eq!(bus_address(&[region], address(32)), None);
    assert_eq!(bus_address(&[region], PciAddress::new(1, 16, 0, 0)), None);
    assert_eq!(
        offset_in_bus(PciAddress::new(0, 16, 31, 7), 0xffc),
        0xf_fffc
    );
    assert_eq!(offset_in_bus(PciAddress::new(0, 0, 1, 2), 0x10), 0xa010);
}

/// The two ports, in front of a fake configuration space.
struct FakePorts<'a> {
    space: &'a Fake,
    selected: u32,
}

impl FakePorts<'_> {
    fn address(&self) -> Option<(PciAddress, u16)> {
        let [offset, function, bus, enable] = self.selected.to_le_bytes();
        let address = PciAddress::new(0, bus, function >> 3, function & 7);
        (enable == 0x80).then_some((address, offset.into()))
    }
}

impl Ports for FakePorts<'_> {
    fn read8(&mut self, _: u16) -> u8 {
        unreachable!("32 bits only")
    }

    fn read16(&mut self, _: u16) -> u16 {
        unreachable!("32 bits only")
    }

    fn read32(&mut self, port: u16) -> u32 {
        assert_eq!(port, 0xcfc);
        self.address().map_or(u32::MAX, |(address, offset)| {
            self.space.read(address, offset)
        })
    }

    fn write8(&mut self, _: u16, _: u8) {
        unreachable!("32 bits only")
    }

    fn write16(&mut self, _: u16, _: u16) {
        unreachable!("32 bits only")
    }

    fn write32(&mut self, port: u16, value: u32) {
        match (port, self.address()) {
            (0xcf8, _) => self.selected = value,
            (0xcfc, Some((address, offset))) => self.space.write(address, offset, value),
            _ => unreachable!("no other port"),
        }
    }
}

#[test]
fn ports_reach_the_first_segments_first_256_bytes() {
    let place = (2, 31, 7);
    let fake = Fake::new(&[(place, FakeFunction::new(0x8086, 0x7000, 6).with(63, 5, !0))]);
    let mut ports = ConfigPorts(FakePorts {
        space: &fake,
        selected: 0,
    });
    let address = PciAddress::new(0, 2, 31, 7);
    assert_eq!(ports.read(address, 0), 0x7000_8086);
    ports.write(address, 0xfc, 0x1234);
    assert_eq!(fake.word(place, 63), 0x1234);
    assert_eq!(ports.read(address, 0x100), u32::MAX);
    assert_eq!(ports.read(PciAddress::new(1, 2, 31, 7), 0), u32::MAX);
    ports.write(address, 0x1fc, 7);
    assert_eq!(fake.word(place, 63), 0x1234);
}

proptest! {
    /// Functions with any content at all: the scan ends, and reads a bounded number of words.
    #[test]
    fn any_functions_are_scanned(
        functions in prop::collection::vec(
            ((0u8..4, 0u8..32, 0u8..8), prop::collection::vec(any::<u32>(), 64),
             prop::collection::vec(any::<u32>(), 64)),
            0..20),
        bridges in prop::collection::vec(((0u8..4, 0u8..32, 0u8..8), any::<u8>()), 0..8),
    ) {
        let list: Vec<((u8, u8, u8), FakeFunction)> = functions
            .iter()
            .map(|(place, words, writable)| (*place, FakeFunction {
                words: core::array::from_fn(|word| words[word]),
                writable: core::array::from_fn(|word| writable[word]),
            }))
            .chain(bridges.iter().map(|&(place, bus)| (place, FakeFunction::bridge(bus))))
            .collect();
        let fake = Fake::new(&list);
        let found = fake.scan();
        prop_assert!(found.len() <= list.len());
        for function in &found {
            prop_assert!(function.to_string().len() < 1000);
            for bar in function.bars.iter().flatten() {
                prop_assert!(bar.size.is_power_of_two());
                prop_assert_eq!(bar.address % bar.size, 0);
            }
        }
        let buses = 256;
        prop_assert!(*fake.reads.borrow() < buses * 32 * 10 + 20 * 256);
    }
}
