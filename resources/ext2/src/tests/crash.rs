//! A power cut at any point leaves what `e2fsck` repairs, with all that was synced intact.
//!
//! Random operations run with all writes and flushes recorded. Then the power is cut: after each
//! event, with what was not durable there or not. `e2fsck -p` repairs the image, but for directories
//! on their way to another place, where it takes `e2fsck -y`. Of what was synced
//! and not touched since, everything must be as it was; of what was touched, each name must stand
//! for what it stood for at some time since, and no file may have data that was never its own.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use super::disk::{Bytes, Disk, Event, cut};
use super::model::{Id, Model, Operation, ROOT, written};
use super::sequences::Pair;
use super::tools::{Folder, SHAPES, Shape, time};
use crate::{FileSystem, InodeNumber, Kind, Options, Rename};

/// The model before each operation and after the last, and when that was.
struct History {
    steps: Vec<Step>,
    events: Vec<Event>,
    base: Vec<u8>,
    block_size: u64,
}

struct Step {
    /// How many events there had been when it began.
    began: usize,
    /// And when it had ended.
    ended: usize,
    operation: Operation,
    /// What was, after it.
    model: Model,
}

/// The byte that is in the data of a file.
fn tag(id: Id) -> u8 {
    (id % 100) as u8 + 1
}

/// What to do in a step.
type Choose = fn(&Model, &mut fastrand::Rng, usize) -> Operation;

/// Anything.
fn mixed(model: &Model, random: &mut fastrand::Rng, _step: usize) -> Operation {
    match random.u8(0..24) {
        0 => Operation::Sync,
        _ => model.random(random, 8),
    }
}

fn all_directories(model: &Model) -> Vec<Id> {
    let nodes = model.nodes.iter();
    let all = nodes.filter(|(_, node)| node.kind == Kind::Directory && node.links > 0);
    all.map(|(id, _)| *id).collect()
}

/// Anything, with as many moves of directories as there can be.
fn directories(model: &Model, random: &mut fastrand::Rng, step: usize) -> Operation {
    let all = all_directories(model);
    let names = |id: Id| model.node(id).entries.iter();
    let moving = all.iter().flat_map(|id| {
        let own = names(*id).filter(|(_, named)| model.node(**named).kind == Kind::Directory);
        own.map(|(name, _)| (*id, name.clone())).collect::<Vec<_>>()
    });
    let moving: Vec<(Id, Vec<u8>)> = moving.collect();
    if moving.is_empty() || !step.is_multiple_of(3) {
        return mixed(model, random, step);
    }
    let (from, old) = moving[random.usize(0..moving.len())].clone();
    let to = all[random.usize(0..all.len())];
    let new = std::format!("moved{step}").into_bytes();
    Operation::Rename(from, old, to, new, Rename::NoReplace)
}

/// Directories that are renamed, replace each other and change places in their parents, all of whose
/// names are in one block.
fn in_place(model: &Model, random: &mut fastrand::Rng, step: usize) -> Operation {
    let all = all_directories(model);
    let directory = all[random.usize(0..all.len())];
    let mut name = || std::format!("n{}", random.u8(0..7)).into_bytes();
    let (old, new) = (name(), name());
    match random.u8(0..20) {
        0 => Operation::Sync,
        1..3 => Operation::Make(directory, new, Kind::File, 0o644),
        _ if step < 20 => Operation::Make(directory, new, Kind::Directory, 0o755),
        3..7 => Operation::Make(directory, new, Kind::Directory, 0o755),
        7..9 => Operation::Rename(directory, old, directory, new, Rename::Exchange),
        _ => Operation::Rename(directory, old, directory, new, Rename::Replace),
    }
}

/// Files in four directories of several blocks, all synced; then their names move.
fn moves(model: &Model, random: &mut fastrand::Rng, step: usize) -> Operation {
    let directories: Vec<Id> = (1..5).collect();
    let mut name = |number: usize| {
        let mut name = std::format!("{number}-").into_bytes();
        name.resize(150 + random.usize(0..100), b'n');
        name
    };
    match step {
        0..4 => return Operation::Make(ROOT, std::vec![b'a' + step as u8], Kind::Directory, 0o755),
        4..28 => {
            return Operation::Make(directories[step % 4], name(step), Kind::File, 0o644);
        }
        28 => return Operation::Sync,
        _ => {}
    }
    let new = name(step);
    let named = |(directory, node): (&Id, &super::model::Node)| {
        let names = node
            .entries
            .iter()
            .map(|(name, id)| (*directory, name.clone(), *id));
        names.collect::<Vec<_>>()
    };
    let all: Vec<_> = model
        .nodes
        .iter()
        .filter(|(id, _)| **id != ROOT)
        .flat_map(named)
        .collect();
    let (directory, old, id) = all[random.usize(0..all.len())].clone();
    let (other, taken, _) = all[random.usize(0..all.len())].clone();
    let to = directories[random.usize(0..4)];
    match random.u8(0..20) {
        0..8 => Operation::Rename(directory, old, to, new, Rename::NoReplace),
        8..11 => Operation::Rename(directory, old, other, taken, Rename::Replace),
        11..15 => Operation::Link(id, to, new),
        15..18 if model.node(id).links > 1 => Operation::Unlink(directory, old),
        18 => Operation::Sync,
        _ => Operation::Fsync(id),
    }
}

fn record(shape: Shape, seed: u64, operations: usize, choose: Choose) -> History {
    let folder = Folder::new();
    let base = folder.make(shape, None);
    let disk = Disk::new(base.clone(), seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut steps = Vec::new();
    disk.run(async {
        let mut pair = Pair::mount(disk.clone(), shape.block_size).await;
        for step in 0..operations {
            let mut operation = choose(&pair.model, &mut random, step);
            if let Operation::Write(id, _, _, byte, _) = &mut operation {
                *byte = tag(*id);
            }
            let began = disk.now();
            pair.apply(&operation).await;
            let ended = disk.now();
            let model = pair.model.clone();
            steps.push(Step {
                began,
                ended,
                operation,
                model,
            });
        }
    });
    History {
        steps,
        events: disk.events(),
        base,
        block_size: shape.block_size.into(),
    }
}

impl History {
    /// Cuts the power behind so many events, has it repaired, and looks at what is left.
    fn check(&self, folder: &Folder, how: &str, events: usize, kept: impl FnMut() -> bool) {
        let image = cut(&self.base, &self.events[..events], kept);
        let repaired = folder.repair(&image, how);
        let (repaired, text) =
            repaired.unwrap_or_else(|text| panic!("after {events} events: {text}"));
        for bad in [
            "ultiply-claimed",
            "illegal block",
            "Inode has imagic",
            "has an invalid",
        ] {
            assert!(!text.contains(bad), "after {events} events: {text}");
        }
        let disk = Disk::new(repaired, 1);
        disk.run(async {
            let options = Options {
                read_only: true,
                ..Options::default()
            };
            let fs = FileSystem::mount(disk.clone(), options, time(0))
                .await
                .unwrap();
            let begun = self
                .steps
                .iter()
                .take_while(|step| step.began <= events)
                .count();
            self.check_synced(&fs, events, begun, &text).await;
            self.check_data(&fs, begun).await;
        });
    }

    /// What was synced is there.
    async fn check_synced(&self, fs: &FileSystem<Disk>, events: usize, begun: usize, text: &str) {
        let ended = self.steps[..begun]
            .iter()
            .filter(|step| step.ended <= events)
            .count();
        let full = |step: &Step| matches!(step.operation, Operation::Sync);
        let last = self.steps[..ended].iter().rposition(full);
        let synced =
            |step: &Step, id: Id| matches!(step.operation, Operation::Fsync(of) if of == id);
        if let Some(last) = last {
            let model = &self.steps[last].model;
            for id in model.nodes.keys() {
                self.check_node(fs, last, begun, *id, text).await;
            }
            self.check_names(fs, last, begun, text).await;
        }
        for (index, step) in self.steps[..ended]
            .iter()
            .enumerate()
            .skip(last.unwrap_or(0))
        {
            for id in step.model.nodes.keys().filter(|id| synced(step, **id)) {
                self.check_node(fs, index, begun, *id, text).await;
            }
        }
    }

    /// One that was synced after step `synced` has at least one of the names it may have, and the
    /// contents that it had, as far as they were not changed.
    async fn check_node(
        &self,
        fs: &FileSystem<Disk>,
        synced: usize,
        begun: usize,
        id: Id,
        text: &str,
    ) {
        let since = &self.steps[synced..begun];
        let models = || since.iter().map(|step| &step.model);
        // One that may have been removed by now may be gone.
        let lives = |model: &Model| model.nodes.get(&id).is_some_and(|node| node.links > 0);
        if id == ROOT || !models().all(lives) {
            return;
        }
        let node = models().next().unwrap().node(id);
        let found = fs.attributes(node.number).await;
        let found =
            found.unwrap_or_else(|error| panic!("{id} is lost ({error}): {node:?}\n{text}"));
        assert_eq!(found.kind, node.kind);
        let exchanged = |step: &Step| match &step.operation {
            Operation::Rename(.., how) => *how == Rename::Exchange,
            _ => false,
        };
        if !since[1..].iter().any(exchanged) {
            let mut names = BTreeSet::new();
            for (directory, parent) in models().flat_map(|model| &model.nodes) {
                let mine = parent.entries.iter().filter(|(_, named)| **named == id);
                names.extend(mine.map(|(name, _)| (*directory, parent.number, name)));
            }
            let mut is_named = false;
            for (_, directory, name) in &names {
                is_named |= fs.lookup(*directory, name).await == Ok(node.number);
            }
            assert!(is_named, "{id} has no name: {node:?}, {names:?}\n{text}");
        }
        if node.kind == Kind::Symlink {
            assert_eq!(
                fs.read_link(node.number).await.unwrap()[..],
                node.target[..]
            );
        }
        if node.kind == Kind::File {
            self.check_contents(fs, &since[1..], id, node, found.size)
                .await;
        }
    }

    async fn check_contents(
        &self,
        fs: &FileSystem<Disk>,
        since: &[Step],
        id: Id,
        node: &super::model::Node,
        size: u64,
    ) {
        let mut changed = BTreeSet::new();
        let mut shortest = node.size;
        for step in since {
            match &step.operation {
                Operation::Write(of, first, count, ..) if *of == id => {
                    changed.extend(*first..first + count);
                }
                Operation::Truncate(of, size) if *of == id => {
                    shortest = shortest.min(*size);
                    changed.insert(u64::MAX);
                }
                _ => {}
            }
        }
        if changed.is_empty() {
            assert_eq!(size, node.size);
        }
        assert!(size >= shortest, "{id} is too short");
        for (block, bytes) in &node.blocks {
            let end = (block + 1) * self.block_size;
            if end <= shortest && !changed.contains(block) {
                assert!(
                    self.read(fs, node.number, *block).await == *bytes,
                    "block {block} of {id}"
                );
            }
        }
    }

    /// Every name stands for what it stood for at some time.
    async fn check_names(&self, fs: &FileSystem<Disk>, synced: usize, begun: usize, text: &str) {
        let since = &self.steps[synced..begun];
        let mut possible: BTreeMap<(Id, &[u8]), BTreeSet<Option<InodeNumber>>> = BTreeMap::new();
        let first = &since[0].model;
        for (directory, node) in &first.nodes {
            let lives = |step: &Step| {
                step.model
                    .nodes
                    .get(directory)
                    .is_some_and(|node| node.links > 0)
            };
            if !since.iter().all(lives) {
                continue;
            }
            for name in node.entries.keys() {
                for step in since {
                    let named = step.model.node(*directory).entries.get(name);
                    let number = named.map(|id| step.model.node(*id).number);
                    let numbers = possible.entry((*directory, name)).or_default();
                    numbers.insert(number);
                    // Of two names of a directory, e2fsck removes one.
                    let replaces =
                        |step: &Step, id: Id| step.model.node(id).kind == Kind::Directory;
                    if named.is_some_and(|id| node.entries[name] != *id && replaces(step, *id)) {
                        numbers.insert(None);
                    }
                }
            }
        }
        for ((directory, name), numbers) in possible {
            let found = fs.lookup(first.node(directory).number, name).await.ok();
            assert!(
                numbers.contains(&found),
                "{name:?} in {directory} is {found:?}, not {numbers:?}\n{text}"
            );
        }
    }

    /// No file has data that was never its own.
    async fn check_data(&self, fs: &FileSystem<Disk>, begun: usize) {
        let mut owners: BTreeMap<InodeNumber, BTreeSet<Id>> = BTreeMap::new();
        for step in &self.steps[..begun] {
            for (id, node) in step
                .model
                .nodes
                .iter()
                .filter(|(_, n)| n.kind == Kind::File)
            {
                owners.entry(node.number).or_default().insert(*id);
            }
        }
        for (number, ids) in owners {
            let Ok(found) = fs.attributes(number).await else {
                continue;
            };
            if found.kind != Kind::File {
                continue;
            }
            let nodes = self.steps[..begun]
                .iter()
                .flat_map(|step| &step.model.nodes);
            let of_these = nodes.filter(|(id, _)| ids.contains(id));
            let blocks: BTreeSet<u64> = of_these
                .flat_map(|(_, node)| node.blocks.keys().copied())
                .collect();
            for block in blocks {
                let bytes = self.read(fs, number, block).await;
                let own = |id: &Id| {
                    let all = written(self.block_size, tag(*id), block, u64::MAX);
                    bytes
                        .iter()
                        .zip(all)
                        .all(|(byte, own)| *byte == 0 || *byte == own)
                };
                assert!(
                    ids.iter().any(own),
                    "block {block} of {number:?} is of another file"
                );
            }
        }
    }

    async fn read(&self, fs: &FileSystem<Disk>, number: InodeNumber, block: u64) -> Vec<u8> {
        let data = Bytes::new(&vec![0xff; self.block_size as usize]);
        let offset = block * self.block_size;
        let length = fs.read(number, offset, data.clone()).await.unwrap();
        let mut bytes = data.to_vec();
        bytes[length..].fill(0);
        bytes
    }
}

fn small(shape: Shape) -> Shape {
    let blocks = if shape.block_size == 1024 { 3000 } else { 1024 };
    Shape { blocks, ..shape }
}

#[test]
fn every_prefix_of_the_writes_can_be_repaired() {
    let folder = Folder::new();
    let history = record(small(SHAPES[0]), 11, 150, mixed);
    for events in 0..=history.events.len() {
        history.check(&folder, "-p", events, || true);
    }
}

#[test]
fn what_was_not_flushed_may_be_there_or_not() {
    let folder = Folder::new();
    let mut random = fastrand::Rng::with_seed(5);
    for seed in 0..12 {
        let shape = small(SHAPES[seed % 3]);
        let history = record(shape, seed as u64, 120, mixed);
        for _ in 0..25 {
            let events = random.usize(0..=history.events.len());
            let odds = [0, 1, 3, 5][random.usize(0..4)];
            history.check(&folder, "-p", events, || random.u8(0..6) < odds);
        }
    }
}

#[test]
fn names_that_move_are_never_lost() {
    let folder = Folder::new();
    let mut random = fastrand::Rng::with_seed(6);
    for seed in 0..8 {
        let history = record(small(SHAPES[0]), seed, 100, moves);
        let begin = history.steps[28].ended;
        for _ in 0..60 {
            let events = random.usize(begin..=history.events.len());
            let odds = random.u8(0..=6);
            history.check(&folder, "-p", events, || random.u8(0..6) < odds);
        }
    }
}

#[test]
fn directories_that_move_are_never_lost() {
    let folder = Folder::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut asked = 0;
    for seed in 20..32 {
        let history = record(small(SHAPES[0]), seed, 120, directories);
        for _ in 0..25 {
            let events = random.usize(0..=history.events.len());
            let odds = random.u8(0..=6);
            let mut kept = fastrand::Rng::with_seed(events as u64);
            let image = cut(&history.base, &history.events[..events], || {
                kept.u8(0..6) < odds
            });
            asked += usize::from(folder.repair(&image, "-p").is_err());
            let mut kept = fastrand::Rng::with_seed(events as u64);
            history.check(&folder, "-y", events, || kept.u8(0..6) < odds);
        }
    }
    assert!(asked > 0, "no cut was in the middle of a move");
}

/// Within a block of names, a directory is renamed, replaces another one, or changes places with it, by
/// writes that `e2fsck -p` can repair after each.
#[test]
fn directories_that_stay_with_their_parents_want_no_answers() {
    let folder = Folder::new();
    let mut random = fastrand::Rng::with_seed(8);
    for seed in 40..46 {
        let history = record(small(SHAPES[0]), seed, 120, in_place);
        let renames = |step: &&Step| matches!(step.operation, Operation::Rename(..));
        assert!(history.steps.iter().filter(renames).count() > 30);
        for _ in 0..40 {
            let events = random.usize(0..=history.events.len());
            let odds = random.u8(0..=6);
            history.check(&folder, "-p", events, || random.u8(0..6) < odds);
        }
    }
}
