//! A disk that fails: errors for those who asked, and a sound file system all the same.

use super::disk::Disk;
use super::model::Model;
use super::sequences::{OPTIONS, Pair};
use super::tools::{Folder, SHAPES, time};
use crate::{Error, FileSystem};

#[test]
fn a_disk_that_fails_now_and_then_leaves_a_sound_file_system() {
    let folder = Folder::new();
    for (index, shape) in SHAPES.iter().enumerate() {
        let seed = index as u64;
        let disk = Disk::new(folder.make(*shape, None), seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut failures = 0;
        disk.run(async {
            let file_system = FileSystem::mount(disk.clone(), OPTIONS, time(0))
                .await
                .unwrap();
            let model = Model::new(shape.block_size);
            let mut pair = Pair { file_system, model };
            disk.fail(4);
            for _ in 0..600 {
                let operation = pair.model.random(&mut random, 8);
                let before = pair.model.clone();
                pair.model.clock += 1;
                match pair.carry_out(&operation).await {
                    Ok(number) => {
                        // What failed has perhaps been done in part, so that the model may be wrong.
                        let made = pair.model.apply(&operation);
                        if let (Ok(Some(id)), Some(number)) = (made, number) {
                            pair.model.nodes.get_mut(&id).unwrap().number = number;
                        }
                    }
                    Err(error) => {
                        assert!(
                            !matches!(error, Error::Corrupt(_)),
                            "{error} after {operation:?}"
                        );
                        failures += usize::from(error == Error::Io);
                        pair.model = before;
                    }
                }
            }
            disk.fail(0);
            pair.file_system.sync(time(1000)).await.unwrap();
            pair.file_system.unmount(time(1001)).await.unwrap();
        });
        assert!(failures > 10, "only {failures} operations have failed");
        folder.check(&disk.image());
    }
}

#[test]
fn a_disk_that_is_gone_is_an_error_of_every_operation() {
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 1);
    disk.fail(100);
    let mounted = disk.run(FileSystem::mount(disk.clone(), OPTIONS, time(0)));
    assert_eq!(mounted.unwrap_err(), crate::MountError::Io);
    disk.fail(0);
    let fs = disk
        .run(FileSystem::mount(disk.clone(), OPTIONS, time(0)))
        .unwrap();
    disk.fail(100);
    disk.run(async {
        let context = Model::new(1024).context();
        let root = crate::InodeNumber::ROOT;
        assert_eq!(fs.create(context, root, b"a", 0o644).await, Err(Error::Io));
        assert_eq!(fs.lookup(root, b"lost+found").await, Err(Error::Io));
    });
}
