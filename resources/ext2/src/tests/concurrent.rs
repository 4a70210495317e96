//! Operations that run interleaved.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use std::vec::Vec;
use std::{format, vec};

use super::disk::{Bytes, Disk};
use super::model::Model;
use super::sequences::{OPTIONS, read_names};
use super::tools::{Folder, SHAPES, time};
use crate::{Context, Error, FileSystem, InodeNumber, Kind, Rename};

/// Does anything with the few names in two directories that all tasks share.
async fn quarrel(fs: &FileSystem<Disk>, context: Context, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..120 {
        let mut place = || {
            let directory = fs.lookup(InodeNumber::ROOT, [b"one", b"two"][random.usize(0..2)]);
            (directory, format!("name{}", random.u8(0..5)))
        };
        let ((from, old), (to, new)) = (place(), place());
        let (Ok(from), Ok(to)) = (from.await, to.await) else {
            panic!("a directory is lost")
        };
        let (old, new) = (old.as_bytes(), new.as_bytes());
        let result = match random.u8(0..11) {
            0 | 1 => fs.create(context, from, old, 0o644).await.map(drop),
            2 => fs.make_directory(context, from, old, 0o755).await.map(drop),
            3 => fs.unlink(context, from, old).await,
            4 => fs.remove_directory(context, from, old).await,
            5 => {
                fs.rename(context, (from, old), (to, new), Rename::Replace)
                    .await
            }
            6 => {
                fs.rename(context, (from, old), (to, new), Rename::Exchange)
                    .await
            }
            7 => fs.sync(context.now).await,
            8 => match fs.lookup_open(from, old).await {
                Ok(inode) => use_file(fs, context, inode, &mut random).await,
                Err(error) => Err(error),
            },
            9 => match fs.lookup(from, old).await {
                Ok(inode) => fs.link(context, inode, to, new).await,
                Err(error) => Err(error),
            },
            // A directory in the other one, so that they move around each other.
            _ => match fs.lookup(from, old).await {
                Ok(inode) => {
                    fs.rename(context, (to, new), (inode, b"in"), Rename::Replace)
                        .await
                }
                Err(error) => Err(error),
            },
        };
        let bad = matches!(result, Err(Error::Io | Error::Corrupt(_) | Error::ReadOnly));
        assert!(!bad, "{result:?}");
    }
}

async fn use_file(
    fs: &FileSystem<Disk>,
    context: Context,
    inode: InodeNumber,
    random: &mut fastrand::Rng,
) -> Result<(), Error> {
    let offset = random.u64(0..300) * 1024;
    let data = Bytes::new(&vec![7; 3 * 1024]);
    let written = fs
        .write(context, inode, offset, data, offset + 2000, false)
        .await;
    let cut = fs.truncate(context, inode, random.u64(0..100_000)).await;
    fs.fsync(inode, context.now).await?;
    fs.close(inode).await?;
    written.and(cut)
}

/// Writes a file in parts, at once, and reads it back, while the others quarrel.
async fn work(fs: &FileSystem<Disk>, context: Context, task: u8) {
    let name = format!("own{task}");
    for round in 0..4 {
        let own = fs
            .create(context, InodeNumber::ROOT, name.as_bytes(), 0o644)
            .await
            .unwrap();
        let byte = task * 10 + round;
        for part in [3, 0, 2, 1] {
            let data = Bytes::new(&vec![byte; 8 * 1024]);
            let offset = part * 8 * 1024;
            fs.write(context, own, offset, data, offset + 8 * 1024, false)
                .await
                .unwrap();
        }
        let back = Bytes::new(&vec![0; 32 * 1024]);
        assert_eq!(fs.read(own, 0, back.clone()).await, Ok(32 * 1024));
        assert!(back.to_vec().iter().all(|found| *found == byte));
        fs.unlink(context, InodeNumber::ROOT, name.as_bytes())
            .await
            .unwrap();
    }
}

#[test]
fn interleaved_operations_leave_a_sound_file_system() {
    let folder = Folder::new();
    for seed in 0..10 {
        let shape = SHAPES[[0, 4][seed as usize % 2]];
        let disk = Disk::new(folder.make(shape, None), seed);
        let context = Model::new(1024).context();
        let fs = disk
            .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
            .unwrap();
        disk.run(async {
            for name in [b"one", b"two"] {
                fs.make_directory(context, InodeNumber::ROOT, name, 0o755)
                    .await
                    .unwrap();
            }
        });
        let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        for task in 0..4 {
            tasks.push(Box::pin(quarrel(&fs, context, 100 * seed + task)));
            tasks.push(Box::pin(work(&fs, context, task as u8)));
        }
        disk.run_all(tasks);
        assert!(disk.most_requests() > 1, "nothing was interleaved");
        disk.run(fs.unmount(time(10))).unwrap();
        folder.check(&disk.image());
    }
}

#[test]
fn parts_of_a_file_are_written_at_once() {
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 3);
    let context = Model::new(1024).context();
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    let file = disk
        .run(fs.create(context, InodeNumber::ROOT, b"file", 0o644))
        .unwrap();
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    let fs = &fs;
    for part in 0..20u8 {
        tasks.push(Box::pin(async move {
            let data = Bytes::new(&vec![part + 1; 16 * 1024]);
            let offset = u64::from(part) * 16 * 1024;
            fs.write(context, file, offset, data, offset + 16 * 1024, false)
                .await
                .unwrap();
        }));
    }
    disk.run_all(tasks);
    assert!(
        disk.most_requests() >= 4,
        "{} at once",
        disk.most_requests()
    );
    disk.run(async {
        for part in 0..20u8 {
            let back = Bytes::new(&vec![0; 16 * 1024]);
            let offset = u64::from(part) * 16 * 1024;
            assert_eq!(fs.read(file, offset, back.clone()).await, Ok(16 * 1024));
            assert!(back.to_vec().iter().all(|found| *found == part + 1));
        }
        assert_eq!(fs.attributes(file).await.unwrap().kind, Kind::File);
        assert_eq!(read_names(fs, InodeNumber::ROOT).await.len(), 1);
        fs.sync(time(5)).await.unwrap();
    });
    folder.check(&disk.image());
}
