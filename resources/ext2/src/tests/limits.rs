//! Full volumes, long names, many links.

use std::vec::Vec;
use std::{format, vec};

use super::disk::{Bytes, Disk};
use super::model::Model;
use super::sequences::OPTIONS;
use super::tools::{Folder, SHAPES, Shape, time};
use crate::{Context, Error, FileSystem, InodeNumber};

const ROOT: InodeNumber = InodeNumber::ROOT;

async fn fill(fs: &FileSystem<Disk>, context: Context, file: InodeNumber) -> u64 {
    let mut blocks = 0;
    loop {
        let data = Bytes::new(&vec![5; 8 * 1024]);
        let offset = blocks * 1024;
        match fs
            .write(context, file, offset, data, offset + 8192, false)
            .await
        {
            Ok(()) => blocks += 8,
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                return blocks;
            }
        }
    }
}

#[test]
fn a_full_volume_can_be_emptied_and_filled_again() {
    let folder = Folder::new();
    let shape = Shape {
        blocks: 2000,
        arguments: "-g 512 -N 128",
        ..SHAPES[0]
    };
    let disk = Disk::new(folder.make(shape, None), 1);
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    let context = Model::new(1024).context();
    let user = Context {
        privileged: false,
        ..context
    };
    disk.run(async {
        let before = fs.usage().free_blocks;
        let mut filled = Vec::new();
        for round in 0..4 {
            let file = fs.create(context, ROOT, b"file", 0o644).await.unwrap();
            // What is reserved stays for the super-user.
            let by_user = fill(&fs, user, file).await;
            assert!(fs.usage().free_blocks >= 100, "{:?}", fs.usage());
            filled.push(fill(&fs, context, file).await);
            assert!(by_user < filled[round] && fs.usage().free_blocks < 20);
            assert_eq!(
                fs.make_directory(user, ROOT, b"d", 0o755).await,
                Err(Error::NoSpace)
            );
            assert_eq!(
                fs.create(user, ROOT, b"empty", 0o644).await.map(drop),
                Ok(())
            );
            // A name goes, and the space with it, without any sync.
            fs.unlink(context, ROOT, b"empty").await.unwrap();
            fs.unlink(context, ROOT, b"file").await.unwrap();
        }
        assert!(
            filled.iter().all(|blocks| *blocks == filled[0]),
            "{filled:?}"
        );
        fs.sync(time(2)).await.unwrap();
        assert_eq!(fs.usage().free_blocks, before);
    });
    folder.check(&disk.image());
}

#[test]
fn what_is_set_aside_is_there() {
    let folder = Folder::new();
    let shape = Shape {
        blocks: 2000,
        ..SHAPES[0]
    };
    let disk = Disk::new(folder.make(shape, None), 1);
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    let context = Model::new(1024).context();
    disk.run(async {
        let blocks = fs.with_tables(16);
        fs.reserve(context, blocks).unwrap();
        assert_eq!(fs.reserve(context, 10_000), Err(Error::NoSpace));
        let file = fs.create(context, ROOT, b"file", 0o644).await.unwrap();
        fill(&fs, context, file).await;
        let late = fs.create(context, ROOT, b"late", 0o644).await.unwrap();
        for part in [0, 66_000] {
            let data = Bytes::new(&vec![5; 8 * 1024]);
            let offset = part * 1024;
            fs.write(context, late, offset, data, offset + 8192, true)
                .await
                .unwrap();
        }
        fs.release(blocks);
        fs.sync(time(1)).await.unwrap();
    });
    folder.check(&disk.image());
}

#[test]
fn inodes_end_and_come_back() {
    let folder = Folder::new();
    let shape = Shape {
        arguments: "-g 1024 -N 128",
        ..SHAPES[0]
    };
    let disk = Disk::new(folder.make(shape, None), 1);
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    let context = Model::new(1024).context();
    disk.run(async {
        let free = fs.usage().free_inodes;
        for round in 0..3 {
            for number in 0..free {
                let name = format!("{round}-{number}");
                fs.create(context, ROOT, name.as_bytes(), 0o644)
                    .await
                    .unwrap();
            }
            assert_eq!(
                fs.create(context, ROOT, b"more", 0o644).await,
                Err(Error::NoSpace)
            );
            fs.sync(time(1)).await.unwrap();
            for number in 0..free {
                let name = format!("{round}-{number}");
                fs.unlink(context, ROOT, name.as_bytes()).await.unwrap();
            }
        }
        fs.sync(time(2)).await.unwrap();
        assert_eq!(fs.usage().free_inodes, free);
    });
    folder.check(&disk.image());
}

#[test]
fn names_have_limits() {
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 1);
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    let context = Model::new(1024).context();
    disk.run(async {
        let longest = [b'n'; 255];
        let file = fs.create(context, ROOT, &longest, 0o644).await.unwrap();
        assert_eq!(fs.lookup(ROOT, &longest).await, Ok(file));
        for (name, error) in [
            (&[b'n'; 256][..], Error::NameTooLong),
            (b"a/b", Error::Invalid),
            (b"a\0", Error::Invalid),
            (b"", Error::NotFound),
            (b".", Error::Exists),
            (b"..", Error::Exists),
        ] {
            assert_eq!(fs.create(context, ROOT, name, 0o644).await, Err(error));
            assert_eq!(
                fs.make_directory(context, ROOT, name, 0o755).await,
                Err(error)
            );
        }
        assert_eq!(
            fs.unlink(context, ROOT, b".").await,
            Err(Error::IsADirectory)
        );
        assert_eq!(
            fs.remove_directory(context, ROOT, b".").await,
            Err(Error::Invalid)
        );
        assert_eq!(
            fs.remove_directory(context, ROOT, b"..").await,
            Err(Error::NotEmpty)
        );
        let long = [b't'; 1024];
        assert_eq!(
            fs.symlink(context, ROOT, b"s", &long).await,
            Err(Error::NameTooLong)
        );
        fs.symlink(context, ROOT, b"s", &long[1..]).await.unwrap();
        fs.sync(time(1)).await.unwrap();
    });
    folder.check(&disk.image());
}

#[test]
fn links_have_limits() {
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 1);
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    let context = Model::new(1024).context();
    let (file, directory) = disk.run(async {
        let file = fs.create(context, ROOT, b"file", 0o644).await.unwrap();
        let directory = fs.make_directory(context, ROOT, b"d", 0o755).await.unwrap();
        fs.sync(time(1)).await.unwrap();
        (file, directory)
    });
    let image = folder.change(
        &disk.image(),
        &[
            &format!("sif <{}> links_count 32000", file.0),
            &format!("sif <{}> links_count 32000", directory.0),
        ],
    );
    let disk = Disk::new(image, 1);
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    disk.run(async {
        let linked = fs.link(context, file, ROOT, b"one-more").await;
        assert_eq!(linked, Err(Error::TooManyLinks));
        let made = fs
            .make_directory(context, directory, b"one-more", 0o755)
            .await;
        assert_eq!(made, Err(Error::TooManyLinks));
    });
}
