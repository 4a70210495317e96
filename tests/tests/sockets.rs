//! Sockets in the guest: what programs see of them, over the loop-back interface, is as on Linux.

use vortex_tests::programs::{LIST, Root, run};
use xtask::program::Program;

/// TCP and UDP over loop-back, with threads, and pairs of Unix sockets.
#[test]
fn sockets_are_as_on_linux() {
    let root = Root::new("sockets", &[], &["bin/sockets"]).unwrap();
    let linux = root.on_linux().unwrap();
    assert!(linux.contains("sockets: done"), "{linux}");
    for smp in [1, 2] {
        let ran = run(&Program {
            rootfs: Some(root.guest().into()),
            path: "/bin/each".into(),
            arguments: vec![LIST.into()],
            smp,
            ..Program::default()
        });
        ran.expect_status(0);
        let text = ran.text();
        let (guest, _) = text
            .split_once("== memory is back")
            .unwrap_or_else(|| panic!("nothing about memory in:\n{text}"));
        let differs = guest.lines().zip(linux.lines()).find(|(a, b)| a != b);
        assert!(
            guest == linux,
            "with {smp} processors: first difference (guest, Linux): {differs:#?}\n{guest}"
        );
    }
}
