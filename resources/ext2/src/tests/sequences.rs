//! Random operations do what they do on Linux, as the model says it, and leave sound images.

use alloc::collections::BTreeMap;
use core::ops::ControlFlow;
use std::vec::Vec;
use std::{format, vec};

use super::disk::{Bytes, Disk};
use super::model::{Id, Model, Operation, ROOT, written};
use super::tools::{Folder, SHAPES, Shape, time};
use crate::{Changes, Error, FileSystem, InodeNumber, Kind, Options};

/// A file system and the model of it.
pub(super) struct Pair {
    pub(super) file_system: FileSystem<Disk>,
    pub(super) model: Model,
}

/// A small cache, so that blocks come and go.
pub(super) const OPTIONS: Options = Options {
    read_only: false,
    cached_blocks: 24,
    dirty_blocks: 40,
};

impl Pair {
    pub(super) async fn mount(disk: Disk, block_size: u32) -> Self {
        let file_system = FileSystem::mount(disk, OPTIONS, time(0)).await.unwrap();
        Self {
            file_system,
            model: Model::new(block_size),
        }
    }

    fn number(&self, id: Id) -> InodeNumber {
        self.model.node(id).number
    }

    /// Carries an operation out, on both; they must agree on the outcome.
    pub(super) async fn apply(&mut self, operation: &Operation) {
        self.model.clock += 1;
        let outcome = self.carry_out(operation).await;
        let expected = self.model.apply(operation);
        match (&outcome, &expected) {
            (Ok(made), Ok(expected)) => {
                assert_eq!(made.is_some(), expected.is_some());
                if let (Some(number), Some(id)) = (made, expected) {
                    self.model.nodes.get_mut(id).unwrap().number = *number;
                }
            }
            _ => assert_eq!(outcome.err(), expected.err(), "{operation:?}"),
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    pub(super) async fn carry_out(
        &self,
        operation: &Operation,
    ) -> Result<Option<InodeNumber>, Error> {
        let (fs, context) = (&self.file_system, self.model.context());
        let number = |id: &Id| self.number(*id);
        match operation {
            Operation::Make(directory, name, Kind::Directory, mode) => fs
                .make_directory(context, number(directory), name, *mode)
                .await
                .map(Some),
            Operation::Make(directory, name, kind, mode) => fs
                .make_node(context, number(directory), name, *mode, *kind)
                .await
                .map(Some),
            Operation::Symlink(directory, name, target) => fs
                .symlink(context, number(directory), name, target)
                .await
                .map(Some),
            Operation::Link(id, directory, name) => fs
                .link(context, number(id), number(directory), name)
                .await
                .map(|()| None),
            Operation::Unlink(directory, name) => fs
                .unlink(context, number(directory), name)
                .await
                .map(|()| None),
            Operation::RemoveDirectory(directory, name) => fs
                .remove_directory(context, number(directory), name)
                .await
                .map(|()| None),
            Operation::Rename(from, old, to, new, how) => {
                let (from, to) = ((number(from), &old[..]), (number(to), &new[..]));
                fs.rename(context, from, to, *how).await.map(|()| None)
            }
            Operation::Write(id, first, count, byte, end) => {
                let block_size = self.model.block_size;
                let data: Vec<u8> = (*first..first + count)
                    .flat_map(|block| written(block_size, *byte, block, *end))
                    .collect();
                let (offset, data) = (first * block_size, Bytes::new(&data));
                let written = fs
                    .write(context, number(id), offset, data, *end, false)
                    .await;
                written.map(|()| None)
            }
            Operation::Truncate(id, size) => {
                fs.truncate(context, number(id), *size).await.map(|()| None)
            }
            Operation::SetMode(id, mode, user) => {
                let changes = Changes {
                    mode: Some(*mode),
                    user: Some(*user),
                    ..Changes::default()
                };
                fs.set_attributes(context, number(id), changes)
                    .await
                    .map(|_| None)
            }
            Operation::Open(id) => fs.open(number(id)).await.map(|()| None),
            Operation::Close(id) => fs.close(number(id)).await.map(|()| None),
            Operation::Sync => fs.sync(context.now).await.map(|()| None),
            Operation::Fsync(id) => fs.fsync(number(id), context.now).await.map(|()| None),
        }
    }

    /// Everything that can be seen is as the model says.
    pub(super) async fn compare(&self) {
        for (id, node) in &self.model.nodes {
            if *id == ROOT && node.entries.is_empty() {
                continue;
            }
            compare_node(&self.file_system, &self.model, *id).await;
        }
    }
}

/// An inode is as the model says.
pub(super) async fn compare_node(fs: &FileSystem<Disk>, model: &Model, id: Id) {
    let node = model.node(id);
    let found = fs.attributes(node.number).await.unwrap();
    assert_eq!(
        (found.kind, found.links),
        (node.kind, node.links),
        "of {id}: {node:?}"
    );
    if id != ROOT {
        assert_eq!((found.mode, found.user), (node.mode, node.user));
        assert_eq!(
            (found.modified, found.changed),
            (node.modified, node.changed)
        );
    }
    match node.kind {
        Kind::Directory => {
            let names = read_names(fs, node.number).await;
            let expected: BTreeMap<Vec<u8>, InodeNumber> = node
                .entries
                .iter()
                .map(|(name, id)| (name.clone(), model.node(*id).number))
                .collect();
            assert_eq!(names, expected);
            for (name, number) in &expected {
                assert_eq!(fs.lookup(node.number, name).await, Ok(*number));
            }
            let parent = model.node(node.parent).number;
            if node.links > 0 {
                assert_eq!(fs.lookup(node.number, b"..").await, Ok(parent));
            }
        }
        Kind::Symlink => {
            assert_eq!(
                fs.read_link(node.number).await.unwrap()[..],
                node.target[..]
            );
        }
        Kind::File => {
            assert_eq!(found.size, node.size);
            let blocks = node
                .blocks
                .keys()
                .flat_map(|block| block.saturating_sub(1)..block + 2);
            for block in blocks.collect::<alloc::collections::BTreeSet<u64>>() {
                compare_block(fs, model, id, block).await;
            }
        }
        _ => {}
    }
}

async fn compare_block(fs: &FileSystem<Disk>, model: &Model, id: Id, block: u64) {
    let node = model.node(id);
    let block_size = model.block_size;
    let data = Bytes::new(&vec![0xff; block_size as usize]);
    let of_file = fs
        .read(node.number, block * block_size, data.clone())
        .await
        .unwrap();
    let expected = node.size.saturating_sub(block * block_size).min(block_size);
    assert_eq!(of_file as u64, expected);
    let zeros = vec![0; of_file];
    let expected = node
        .blocks
        .get(&block)
        .map_or(&zeros[..], |bytes| &bytes[..of_file]);
    assert!(
        data.to_vec()[..of_file] == *expected,
        "block {block} of {id}"
    );
}

/// The names in a directory, but for those that every one has, read in small portions.
pub(super) async fn read_names(
    fs: &FileSystem<Disk>,
    directory: InodeNumber,
) -> BTreeMap<Vec<u8>, InodeNumber> {
    let mut names = BTreeMap::new();
    let mut position = 0;
    loop {
        let mut room = 3;
        let reached = fs
            .read_directory(directory, position, |entry| {
                if room == 0 {
                    return ControlFlow::Break(());
                }
                room -= 1;
                if !matches!(entry.name, b"." | b".." | b"lost+found") {
                    let before = names.insert(entry.name.to_vec(), entry.inode);
                    assert_eq!(before, None, "a name was given twice");
                }
                ControlFlow::Continue(())
            })
            .await
            .unwrap();
        if room == 3 {
            return names;
        }
        position = reached;
    }
}

fn run(shape: Shape, seed: u64, operations: usize) {
    let folder = Folder::new();
    let image = folder.make(shape, None);
    let disk = Disk::new(image, seed);
    let mut random = fastrand::Rng::with_seed(seed);
    disk.run(async {
        let mut pair = Pair::mount(disk.clone(), shape.block_size).await;
        let names = random.usize(4..30);
        for step in 0..operations {
            let operation = pair.model.random(&mut random, names);
            pair.apply(&operation).await;
            if step % 97 == 0 {
                pair.compare().await;
            }
        }
        pair.compare().await;
        pair.file_system.sync(time(9000)).await.unwrap();
        let open: Vec<(Id, u32)> = pair
            .model
            .nodes
            .iter()
            .map(|(id, node)| (*id, node.opens))
            .collect();
        if pair.model.nodes.values().all(|node| node.links > 0) {
            folder.check(&disk.image());
        }
        for (id, opens) in open {
            for _ in 0..opens {
                pair.apply(&Operation::Close(id)).await;
            }
        }
        pair.file_system.sync(time(9001)).await.unwrap();
        folder.check(&disk.image());
        pair.compare().await;
        let Pair { file_system, model } = pair;
        file_system.unmount(time(9002)).await.unwrap();
        let file_system = FileSystem::mount(disk.clone(), OPTIONS, time(9003))
            .await
            .unwrap();
        assert!(!file_system.needs_check());
        let pair = Pair { file_system, model };
        pair.compare().await;
        dump(&folder, &disk.image(), &pair.model);
    });
}

/// `debugfs` finds the same contents in a file.
fn dump(folder: &Folder, image: &[u8], model: &Model) {
    let small = |id: &&Id| {
        let node = model.node(**id);
        node.kind == Kind::File && node.links > 0 && node.size < 1 << 22 && node.size > 0
    };
    let Some(id) = model.nodes.keys().find(small) else {
        return;
    };
    let node = model.node(*id);
    let contents = folder.ask(image, &format!("cat <{}>", node.number.0));
    let expected: Vec<u8> = (0..node.size.div_ceil(model.block_size))
        .flat_map(|block| {
            let zeros = || vec![0; model.block_size as usize];
            node.blocks.get(&block).cloned().unwrap_or_else(zeros)
        })
        .take(node.size as usize)
        .collect();
    assert!(
        contents == expected,
        "debugfs reads {} bytes",
        contents.len()
    );
}

#[test]
fn operations_do_what_they_do_on_linux() {
    for (index, shape) in SHAPES.iter().enumerate() {
        for seed in 0..4 {
            run(*shape, 1000 * index as u64 + seed, 400);
        }
    }
}
