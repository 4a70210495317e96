//! Each deliberate fault ends in a report that names its cause, its core and the function that
//! committed it, and in the failure status; none hangs.

use vortex_tests::{Exit, Machine};

/// The status that the kernel gives after a report.
const DIED: Exit = Exit::Status(101);

/// What a report has to say.
struct Expected {
    cause: &'static str,
    core: u32,
    function: &'static str,
}

#[track_caller]
fn dies(machine: Machine, expected: &Expected) {
    let mut machine = machine.start();
    let cores_up = machine.wait_for(" cores up");
    assert!(cores_up.text.starts_with("vortex: "), "{}", cores_up.text);
    machine.wait_for(&format!("core {} died", expected.core));
    machine.expect_exit(&DIED);
    let log = machine.log();
    let report = log
        .split_once(" cores up\n")
        .map_or("", |(_, report)| report);
    for needed in [expected.cause, "backtrace", expected.function] {
        if !report.contains(needed) {
            machine.fail(&format!("the report does not say {needed:?}"));
        }
    }
    if report.matches(" died").count() != 1 {
        machine.fail("more than one report");
    }
}

#[test]
fn null_dereference() {
    let expected = Expected {
        cause: "page fault",
        core: 0,
        function: "deliberate_null_dereference",
    };
    dies(Machine::new().smp(2).option("test=null-deref"), &expected);
}

#[test]
fn stack_overflow() {
    let expected = Expected {
        cause: "stack overflow",
        core: 0,
        function: "deliberate_stack_overflow",
    };
    dies(
        Machine::new().smp(2).option("test=stack-overflow"),
        &expected,
    );
}

#[test]
fn division_by_zero() {
    let expected = Expected {
        cause: "divide error",
        core: 0,
        function: "deliberate_division_by_zero",
    };
    dies(
        Machine::new().smp(2).option("test=divide-by-zero"),
        &expected,
    );
}

#[test]
fn invalid_opcode() {
    let expected = Expected {
        cause: "invalid opcode",
        core: 0,
        function: "deliberate_invalid_opcode",
    };
    dies(Machine::new().option("test=invalid-opcode"), &expected);
}

#[test]
fn double_fault() {
    let expected = Expected {
        cause: "double fault",
        core: 0,
        function: "deliberate_double_fault",
    };
    dies(Machine::new().option("test=double-fault"), &expected);
}

#[test]
fn write_to_code() {
    let expected = Expected {
        cause: "page fault",
        core: 0,
        function: "deliberate_write_to_code",
    };
    dies(Machine::new().option("test=write-to-code"), &expected);
}

#[test]
fn execution_of_data() {
    let expected = Expected {
        cause: "page fault",
        core: 0,
        function: "deliberate_execution_of_data",
    };
    dies(Machine::new().option("test=execute-data"), &expected);
}

fn panic_on(core: u32) -> Expected {
    Expected {
        cause: "panic",
        core,
        function: "deliberate_panic",
    }
}

#[test]
fn panic_on_the_boot_core() {
    dies(Machine::new().option("panic-on-core=0"), &panic_on(0));
}

#[test]
fn panic_on_another_core() {
    dies(
        Machine::new().smp(2).option("test=panic-on-core"),
        &panic_on(1),
    );
}

#[test]
fn panic_on_the_last_of_eight_cores() {
    dies(
        Machine::new().smp(8).option("panic-on-core=7"),
        &panic_on(7),
    );
}

#[test]
fn faults_end_the_same_on_the_oldest_processor() {
    let expected = Expected {
        cause: "stack overflow",
        core: 0,
        function: "deliberate_stack_overflow",
    };
    dies(
        Machine::new()
            .smp(4)
            .cpu("qemu64")
            .option("test=stack-overflow"),
        &expected,
    );
}
