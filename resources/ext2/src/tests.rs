//! Tests on a disk that completes requests in any order: [`disk`]. What is on it is made by
//! `mke2fs` and judged by `e2fsck` and `debugfs`: [`tools`]. What operations should do is said by
//! [`model`].

mod concurrent;
mod crash;
mod damage;
mod disk;
mod faults;
mod features;
mod limits;
mod locks;
mod model;
mod sequences;
mod tools;
