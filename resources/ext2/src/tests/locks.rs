//! The lock, and that operations can run on any core.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::ops::ControlFlow;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context as PollContext, Poll, Waker};
use std::task::Wake;
use std::vec::Vec;

use super::disk::{Bytes, Disk};
use crate::lock::Lock;
use crate::{Changes, Context, FileSystem, InodeNumber, Kind, Rename, Timestamp};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future>(future: Pin<&mut F>, count: &Arc<Count>) -> Poll<F::Output> {
    future.poll(&mut PollContext::from_waker(&Waker::from(count.clone())))
}

fn count() -> Arc<Count> {
    Arc::new(Count(AtomicUsize::new(0)))
}

#[test]
fn waiters_are_served_in_order() {
    let lock = Lock::default();
    let (second, third) = (count(), count());
    let Poll::Ready(first) = poll(pin!(lock.shared()), &count()) else {
        panic!()
    };
    let mut writer = pin!(lock.exclusive());
    let mut reader = pin!(lock.shared());
    assert!(poll(writer.as_mut(), &second).is_pending());
    // A reader does not pass a writer that waits.
    assert!(poll(reader.as_mut(), &third).is_pending());
    drop(first);
    assert_eq!(
        (
            second.0.load(Ordering::SeqCst),
            third.0.load(Ordering::SeqCst)
        ),
        (1, 0)
    );
    assert!(poll(reader.as_mut(), &third).is_pending());
    let Poll::Ready(writing) = poll(writer.as_mut(), &second) else {
        panic!()
    };
    assert!(poll(reader.as_mut(), &third).is_pending());
    drop(writing);
    let Poll::Ready(one) = poll(reader.as_mut(), &third) else {
        panic!()
    };
    let Poll::Ready(other) = poll(pin!(lock.shared()), &count()) else {
        panic!()
    };
    assert!(poll(pin!(lock.exclusive()), &count()).is_pending());
    drop((one, other));
    assert!(poll(pin!(lock.exclusive()), &count()).is_ready());
}

#[test]
fn who_gives_up_makes_way() {
    let lock = Lock::default();
    let waiting = count();
    let Poll::Ready(first) = poll(pin!(lock.exclusive()), &count()) else {
        panic!()
    };
    let mut given_up = Box::pin(lock.exclusive());
    let mut next = pin!(lock.shared());
    assert!(poll(given_up.as_mut(), &count()).is_pending());
    assert!(poll(next.as_mut(), &waiting).is_pending());
    drop(first);
    assert_eq!(waiting.0.load(Ordering::SeqCst), 0);
    drop(given_up);
    assert_eq!(waiting.0.load(Ordering::SeqCst), 1);
    assert!(poll(next.as_mut(), &waiting).is_ready());
}

type Operation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Every operation, as a task of the kernel: this is here to be compiled.
fn operations(fs: &Arc<FileSystem<Disk>>) -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    let (context, root, now) = (Context::default(), InodeNumber::ROOT, Timestamp::default());
    macro_rules! task {
        ($fs:ident, $operation:expr) => {{
            let $fs = fs.clone();
            all.push(Box::pin(async move {
                let _ = $operation.await;
            }));
        }};
    }
    task!(fs, fs.sync(now));
    task!(fs, fs.fsync(root, now));
    task!(fs, fs.attributes(root));
    task!(fs, fs.set_attributes(context, root, Changes::default()));
    task!(fs, fs.lookup(root, b"a"));
    task!(fs, fs.lookup_open(root, b"a"));
    task!(fs, fs.open(root));
    task!(fs, fs.close(root));
    task!(
        fs,
        fs.read_directory(root, 0, |_| ControlFlow::Continue(()))
    );
    task!(fs, fs.create(context, root, b"a", 0o600));
    task!(fs, fs.make_node(context, root, b"b", 0o600, Kind::Fifo));
    task!(fs, fs.make_directory(context, root, b"c", 0o700));
    task!(fs, fs.symlink(context, root, b"d", b"a"));
    task!(fs, fs.read_link(root));
    task!(fs, fs.link(context, root, root, b"e"));
    task!(fs, fs.unlink(context, root, b"a"));
    task!(fs, fs.remove_directory(context, root, b"c"));
    task!(
        fs,
        fs.rename(context, (root, b"a"), (root, b"f"), Rename::Replace)
    );
    task!(fs, fs.truncate(context, root, 0));
    task!(fs, fs.read(root, 0, Bytes::new(&[])));
    task!(fs, fs.write(context, root, 0, Bytes::new(&[]), 0, false));
    all
}

#[test]
fn operations_are_tasks() {
    use super::tools::{Folder, SHAPES, time};
    let folder = Folder::new();
    let disk = Disk::new(folder.make(SHAPES[0], None), 1);
    let options = super::sequences::OPTIONS;
    let mount: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(FileSystem::mount(disk.clone(), options, time(0)));
    let fs = Arc::new(disk.run(mount).unwrap());
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for operation in operations(&fs) {
        tasks.push(operation);
    }
    disk.run_all(tasks);
    let fs = Arc::into_inner(fs).unwrap();
    let unmount: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(fs.unmount(time(1)));
    disk.run(unmount).unwrap();
    folder.check(&disk.image());
}
