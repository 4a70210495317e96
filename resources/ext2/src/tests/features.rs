//! What `mke2fs` can make of a volume.

use core::ops::ControlFlow;
use std::vec::Vec;
use std::{format, fs, vec};

use super::disk::{Bytes, Disk, Event};
use super::model::Model;
use super::sequences::{OPTIONS, read_names};
use super::tools::{Folder, SHAPES, Shape, time};
use crate::{Error, FileSystem, InodeNumber, Kind, MountError, Options};

const ROOT: InodeNumber = InodeNumber::ROOT;

fn mount(disk: &Disk) -> FileSystem<Disk> {
    disk.run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap()
}

#[test]
fn unknown_features_are_refused_by_name() {
    let folder = Folder::new();
    let image = folder.make(SHAPES[0], None);
    let with = |at: usize, bits: u32| {
        let mut image = image.clone();
        image[1024 + at..1024 + at + 4].copy_from_slice(&bits.to_le_bytes());
        Disk::new(image, 1)
    };
    let disk = with(96, 0x42);
    let refused = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap_err();
    assert_eq!(refused, MountError::Incompatible("extent".into()));
    assert_eq!(refused.errno(), 22);

    let disk = with(100, 0x403);
    let fs = mount(&disk);
    let why = fs.read_only().unwrap();
    assert!(why.contains("metadata_csum"), "{why}");
    let context = Model::new(1024).context();
    disk.run(async {
        assert_eq!(
            fs.create(context, ROOT, b"a", 0o644).await,
            Err(Error::ReadOnly)
        );
        assert!(fs.lookup(ROOT, b"lost+found").await.is_ok());
        fs.unmount(time(1)).await.unwrap();
    });
    assert_eq!(disk.events().len(), 0);
}

#[test]
fn nothing_is_written_that_was_not_asked_for() {
    let folder = Folder::new();
    let image = folder.make(SHAPES[0], None);
    let disk = Disk::new(image, 1);
    let fs = mount(&disk);
    disk.run(async {
        fs.lookup(ROOT, b"lost+found").await.unwrap();
        fs.sync(time(1)).await.unwrap();
        fs.unmount(time(1)).await.unwrap();
    });
    assert_eq!(disk.events().len(), 0);
    let empty = Disk::new(vec![0; 100_000], 1);
    let refused = empty.run(FileSystem::mount(
        empty.clone(),
        Options::default(),
        time(0),
    ));
    assert_eq!(refused.unwrap_err(), MountError::NotExt2);
}

#[test]
fn what_mke2fs_wrote_is_read() {
    for shape in SHAPES {
        let folder = Folder::new();
        let from = folder.file("from");
        fs::create_dir_all(from.join("a/b")).unwrap();
        let contents: Vec<u8> = (0..400_000u32).map(|at| (at / 700) as u8).collect();
        fs::write(from.join("a/b/large"), &contents).unwrap();
        std::os::unix::fs::symlink("a/b", from.join("fast")).unwrap();
        std::os::unix::fs::symlink("x/".repeat(100), from.join("slow")).unwrap();
        let image = folder.make(*shape, Some(&from));
        let image = folder.change(&image, &["mknod device b 300 60000"]);
        let disk = Disk::new(image, 2);
        let fs = mount(&disk);
        disk.run(async {
            let a = fs.lookup(ROOT, b"a").await.unwrap();
            let b = fs.lookup(a, b"b").await.unwrap();
            let large = fs.lookup(b, b"large").await.unwrap();
            let attributes = fs.attributes(large).await.unwrap();
            assert_eq!((attributes.size, attributes.kind), (400_000, Kind::File));
            let data = Bytes::new(&vec![1; 100 * 4096]);
            assert_eq!(fs.read(large, 0, data.clone()).await, Ok(400_000));
            assert!(data.to_vec()[..400_000] == contents);
            let fast = fs.lookup(ROOT, b"fast").await.unwrap();
            assert_eq!(fs.read_link(fast).await.unwrap()[..], b"a/b"[..]);
            let slow = fs.lookup(ROOT, b"slow").await.unwrap();
            assert_eq!(
                fs.read_link(slow).await.unwrap()[..],
                *"x/".repeat(100).as_bytes()
            );
            let device = fs.lookup(ROOT, b"device").await.unwrap();
            let number = (60000 & 0xff) | (300 << 8) | ((60000 & !0xff) << 12);
            let kind = fs.attributes(device).await.unwrap().kind;
            assert_eq!(kind, Kind::BlockDevice(number));
        });
    }
}

#[test]
fn indexed_directories_are_read_and_stay_sound() {
    let folder = Folder::new();
    let from = folder.file("from");
    fs::create_dir_all(from.join("many")).unwrap();
    for name in 0..500 {
        fs::write(
            from.join(format!("many/a-name-that-is-not-short-{name}")),
            "",
        )
        .unwrap();
    }
    let shape = Shape {
        arguments: "-N 2000",
        ..SHAPES[0]
    };
    let image = folder.index(&folder.make(shape, Some(&from)));
    let text = folder.ask(&image, "htree_dump many");
    assert!(
        text.starts_with(b"Root node dump"),
        "the directory has no index"
    );
    let disk = Disk::new(image, 2);
    let fs = mount(&disk);
    let context = Model::new(1024).context();
    disk.run(async {
        let many = fs.lookup(ROOT, b"many").await.unwrap();
        assert_eq!(read_names(&fs, many).await.len(), 500);
        assert!(
            fs.lookup(many, b"a-name-that-is-not-short-250")
                .await
                .is_ok()
        );
        for name in 0..100 {
            let name = format!("new-{name}");
            fs.create(context, many, name.as_bytes(), 0o644)
                .await
                .unwrap();
            let old = format!("a-name-that-is-not-short-{}", name.len() * 20);
            let _ = fs.unlink(context, many, old.as_bytes()).await;
        }
        fs.sync(time(3)).await.unwrap();
        assert!(read_names(&fs, many).await.len() > 590);
    });
    folder.check(&disk.image());
}

#[test]
fn extended_attributes_go_with_their_last_user() {
    let folder = Folder::new();
    let from = folder.file("from");
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("one"), "1").unwrap();
    fs::write(from.join("two"), "2").unwrap();
    let image = folder.make(SHAPES[1], Some(&from));
    let image = folder.change(&image, &["ea_set one user.a b"]);
    let disk = Disk::new(image.clone(), 1);
    let fs = mount(&disk);
    let (one, two, block) = disk.run(async {
        let one = fs.lookup(ROOT, b"one").await.unwrap();
        let two = fs.lookup(ROOT, b"two").await.unwrap();
        (one, two, fs.inode(one).await.unwrap().1.attribute_block())
    });
    assert!(block > 0);
    // The other file gets them too.
    let mut image = folder.change(
        &image,
        &[
            &format!("sif <{}> file_acl {block}", two.0),
            &format!("sif <{}> blocks 8", two.0),
        ],
    );
    image[block as usize * 2048 + 4] = 2;
    folder.check(&image);
    let disk = Disk::new(image, 1);
    let fs = mount(&disk);
    let context = Model::new(1024).context();
    for name in [b"one", b"two"] {
        let before = fs.usage().free_blocks;
        disk.run(async {
            fs.unlink(context, ROOT, name).await.unwrap();
            fs.sync(time(2)).await.unwrap();
        });
        folder.check(&disk.image());
        let freed = if name == b"one" { 1 } else { 2 };
        assert_eq!(fs.usage().free_blocks - before, freed, "{one:?}");
    }
}

#[test]
fn large_files_are_declared() {
    for (index, shape) in SHAPES.iter().enumerate() {
        let folder = Folder::new();
        let disk = Disk::new(folder.make(*shape, None), index as u64);
        let fs = mount(&disk);
        let context = Model::new(1024).context();
        disk.run(async {
            let file = fs.create(context, ROOT, b"large", 0o644).await.unwrap();
            let data = Bytes::new(&[9; 4096]);
            let offset = 3 << 30;
            fs.write(context, file, offset, data, offset + 4000, false)
                .await
                .unwrap();
            let most = fs.geometry.largest_file();
            let past = fs.truncate(context, file, most + 1).await;
            assert_eq!(past, Err(Error::TooLarge));
            let last = most / 4096 * 4096 - 4096;
            let data = Bytes::new(&[8; 4096]);
            fs.write(context, file, last, data, last + 4096, false)
                .await
                .unwrap();
            let data = Bytes::new(&[7; 4096]);
            let past = fs.write(
                context,
                file,
                most.next_multiple_of(4096),
                data,
                most + 5000,
                false,
            );
            assert_eq!(past.await, Err(Error::TooLarge));
            let data = Bytes::new(&[0; 4096]);
            assert_eq!(fs.read(file, last, data.clone()).await, Ok(4096));
            assert_eq!(data.to_vec(), [8; 4096]);
            fs.sync(time(1)).await.unwrap();
            folder.check(&disk.image());
            fs.unlink(context, ROOT, b"large").await.unwrap();
            fs.sync(time(2)).await.unwrap();
            folder.check(&disk.image());
        });
    }
}

#[test]
fn files_without_a_name_are_removed_at_the_next_mount() {
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 4);
    let fs = mount(&disk);
    let context = Model::new(1024).context();
    let before = fs.usage();
    let free = |usage: crate::Usage| (usage.free_blocks, usage.free_inodes);
    let names = [b"a", b"b", b"c"];
    let number = |index: usize| InodeNumber(fs.geometry.first_inode + 1 + index as u32);
    disk.run(async {
        for name in names {
            let file = fs.create(context, ROOT, name, 0o644).await.unwrap();
            let data = Bytes::new(&vec![9; 40 * 1024]);
            fs.write(context, file, 0, data, 40 * 1024, false)
                .await
                .unwrap();
            fs.open(file).await.unwrap();
            fs.unlink(context, ROOT, name).await.unwrap();
        }
        fs.sync(time(1)).await.unwrap();
        // They can be read all the same.
        let data = Bytes::new(&vec![0; 1024]);
        let file = number(0);
        assert_eq!(fs.read(file, 39 * 1024, data.clone()).await, Ok(1024));
        assert_eq!(data.to_vec(), [9; 1024]);
        assert_eq!(fs.attributes(file).await.unwrap().links, 0);
        fs.close(file).await.unwrap();
        assert_eq!(fs.attributes(file).await, Err(Error::NotFound));
        fs.sync(time(2)).await.unwrap();
    });
    // With two of them, the volume is not called clean; e2fsck frees them.
    assert!(mount(&Disk::new(disk.image(), 5)).needs_check());
    let (repaired, _) = folder.repair(&disk.image(), "-p").unwrap();
    let fresh = mount(&Disk::new(repaired, 5)).usage();
    assert_eq!(free(fresh), free(before));
    // With one, it is: the next mount frees it.
    disk.run(async {
        fs.close(number(1)).await.unwrap();
        fs.sync(time(3)).await.unwrap();
    });
    let disk = Disk::new(disk.image(), 5);
    let fs = mount(&disk);
    assert!(!fs.needs_check());
    disk.run(fs.sync(time(4))).unwrap();
    let after = fs.usage();
    assert_eq!(free(after), free(before));
    folder.check(&disk.image());
}

#[test]
fn neighbouring_blocks_are_one_request() {
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 4);
    let fs = mount(&disk);
    let context = Model::new(1024).context();
    disk.run(async {
        let file = fs.create(context, ROOT, b"file", 0o644).await.unwrap();
        for part in 0..8 {
            let data = Bytes::new(&vec![9; 32 * 1024]);
            let offset = part * 32 * 1024;
            fs.write(context, file, offset, data, offset + 32 * 1024, false)
                .await
                .unwrap();
        }
    });
    let lengths = disk.events().into_iter().filter_map(|event| match event {
        Event::Write { data, .. } => Some(data.len()),
        Event::Flush(_) => None,
    });
    // One part of them crosses to the blocks with tables.
    let lengths: Vec<usize> = lengths.collect();
    assert!(lengths.len() <= 10, "{lengths:?}");
}

#[test]
fn reading_a_directory_goes_on_where_it_was() {
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 4);
    let fs = mount(&disk);
    let context = Model::new(1024).context();
    disk.run(async {
        let name = |number: usize| format!("{number:0>40}");
        for number in 0..100 {
            fs.create(context, ROOT, name(number).as_bytes(), 0o644)
                .await
                .unwrap();
        }
        // All odd ones go while the directory is read.
        let (mut seen, mut position) = (Vec::new(), 0);
        for step in 0..100 {
            let mut here = Vec::new();
            position = fs
                .read_directory(ROOT, position, |entry| {
                    if here.len() == 2 {
                        return ControlFlow::Break(());
                    }
                    here.push(entry.name.to_vec());
                    ControlFlow::Continue(())
                })
                .await
                .unwrap();
            seen.extend(here);
            if step % 2 == 1 {
                let _ = fs.unlink(context, ROOT, name(step).as_bytes()).await;
            }
        }
        for number in (0..100).step_by(2) {
            let name = name(number).into_bytes();
            assert_eq!(
                seen.iter().filter(|seen| **seen == name).count(),
                1,
                "{number}"
            );
        }
    });
}
