//! Programs that are linked dynamically, and scripts: what they write, and how they end, is as on
//! Linux. Their libraries are this machine's.

use std::path::PathBuf;
use std::process::Command;

use vortex_tests::programs::{LIST, Root, run};
use xtask::program::Program;
use xtask::workspace;

/// A program with what the dynamic loader has to do for one: relocations, data that is read-only after
/// them, constructors, thread-local variables, a library that comes later, an own stack for a thread.
const SOURCE: &str = r#"
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static __thread int counted = 3;
static const char *const names[] = {"relocated", "twice"};
static int constructed;

__attribute__((constructor)) static void construct(void) { constructed = 1; }
static void at_end(void) { puts("at the end"); }

static void *run(void *power)
{
	counted += 1;
	printf("thread: %d %.3f\n", counted, pow(2, *(double *)power));
	return 0;
}

int main(int number, char **arguments)
{
	atexit(at_end);
	printf("%s %s %d, %d arguments\n", names[0], names[1], constructed, number - 1);
	for (int i = 1; i < number; i++)
		printf("- %s\n", arguments[i]);
	double power = sqrt(strtod("2.25", 0));
	pthread_t thread;
	pthread_create(&thread, 0, run, &power);
	pthread_join(thread, 0);
	printf("main: %d\n", counted);
	void *library = dlopen("libutil.so.1", RTLD_NOW);
	printf("later: %s\n", library ? "found" : "none");
	printf("missing: %s\n", dlopen("libnone.so.1", RTLD_LAZY) ? "found" : "none");
	fflush(stdout);
	if (number == 1)
		execl("/proc/self/exe", "again", "once more", (char *)0);
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path);
	return length > 7 && !memcmp(path + length - 7, "dynamic", 7) ? number : 99;
}
"#;

fn compile() -> Vec<u8> {
    let folder = tempfile::tempdir_in(workspace::target_subdir("guest-roots").unwrap()).unwrap();
    let (source, program) = (folder.path().join("a.c"), folder.path().join("a"));
    std::fs::write(&source, SOURCE).unwrap();
    let compiled = Command::new("cc")
        .args([
            "-O1",
            "-Wall",
            "-Werror",
            "-pie",
            "-fPIE",
            "-Wl,-z,relro,-z,now",
        ])
        .arg("-o")
        .args([&program, &source])
        .args(["-lm", "-ldl", "-pthread"])
        .output()
        .expect("cc");
    assert!(compiled.status.success(), "{compiled:?}");
    std::fs::read(program).unwrap()
}

/// A program of this machine's.
fn of_this_machine(name: &str) -> Vec<u8> {
    let folders = ["/usr/bin", "/bin"].map(PathBuf::from);
    let found = folders
        .iter()
        .find_map(|folder| std::fs::read(folder.join(name)).ok());
    found.unwrap_or_else(|| panic!("there is no {name} here"))
}

#[test]
fn dynamic_programs_and_scripts_are_as_on_linux() {
    let commands = [
        "bin/dynamic",
        "bin/dynamic a b",
        "bin/sort data/text",
        "bin/true",
        "bin/script one two",
        "bin/nested one",
        "bin/lost",
        "bin/unnamed",
        "bin/circle",
        "bin/dynamic after",
    ];
    let root = Root::new(
        "dynamic",
        &[("data/text", b"pear\napple\nfig\n")],
        &commands,
    )
    .unwrap();
    for (path, contents) in [
        ("bin/dynamic", compile()),
        ("bin/sort", of_this_machine("sort")),
        ("bin/true", of_this_machine("true")),
        ("bin/script", b"#! bin/dynamic  an argument \n".into()),
        ("bin/nested", b"#!bin/script".into()),
        ("bin/lost", b"#!bin/none\n".into()),
        ("bin/unnamed", b"#!\n".into()),
        ("bin/circle", b"#!bin/circle\n".into()),
    ] {
        root.executable(path, &contents).unwrap();
    }
    let linux = root.on_linux().unwrap();
    assert!(
        linux.contains("relocated twice 1, 1 arguments\n- once more"),
        "{linux}"
    );
    assert!(
        linux.contains("- an argument\n- bin/script\n- one"),
        "{linux}"
    );
    let ran = run(&Program {
        path: "/bin/each".into(),
        arguments: vec![LIST.into()],
        smp: 2,
        rootfs: Some(root.guest().into()),
        ..Program::default()
    });
    ran.expect_status(0);
    let text = ran.text();
    let (guest, _) = text.split_once("== memory is back, of ").expect(&text);
    assert_eq!(guest, linux, "guest, Linux");
}
