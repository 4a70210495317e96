//! What a stress run has shown.

use vortex_toolkit::scheduler::Scheduler;

use super::Scenario;
use super::behaviour::Stress;
use crate::audit::Audit;
use crate::machine::Machine;
use crate::readings::ledger_faults;

/// What a run has shown.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What went wrong; empty if nothing did.
    pub faults: Vec<String>,
    /// Requests sent.
    pub sent: u64,
    /// Requests executed.
    pub executed: u64,
    /// Requests handed back.
    pub returned: u64,
    /// Policies that lost their role.
    pub demotions: u64,
    /// Cycles until everything had come to rest.
    pub cycles: u64,
}

/// Steps after which nothing more is to be expected: each request takes only some.
const IDLE_STEPS: u64 = 10_000;

impl Verdict {
    /// Runs until everything rests, or nothing happens any more but that bindings are reconsidered.
    pub(super) fn play<P: Scheduler + Clone>(
        &mut self,
        machine: &mut Machine<Stress<P>>,
        scenario: &Scenario<P>,
        audit: &Audit,
    ) {
        let mut counts = None;
        while self.goes_on(machine, scenario) {
            if !machine.has_events() && counts == Some(audit.counts()) {
                break;
            }
            counts = Some(audit.counts());
        }
        // What comes next comes after all this, on every core.
        machine.run_until(machine.now());
    }

    /// Does some steps. False if there was nothing left to be done.
    fn goes_on<P: Scheduler + Clone>(
        &mut self,
        machine: &mut Machine<Stress<P>>,
        scenario: &Scenario<P>,
    ) -> bool {
        for _ in 0..IDLE_STEPS {
            if !machine.advance(u64::MAX) {
                return false;
            }
            if scenario.is_work_conserving() {
                self.check_idle(machine);
            }
        }
        true
    }

    /// A core that sleeps has nothing in its queues.
    fn check_idle<P: Scheduler + Clone>(&mut self, machine: &Machine<Stress<P>>) {
        let Some(core) = machine.fell_asleep() else {
            return;
        };
        for account in machine.grid().accounts() {
            if account.core == core && account.usage.queue_length > 0 && self.faults.len() < 20 {
                self.faults.push(format!("idle with work: {account:?}"));
            }
        }
    }

    /// Everything sent has been executed or handed back.
    pub(super) fn expect_settled(&mut self, audit: &Audit, when: &str) {
        let faults = audit.faults(true);
        self.faults
            .extend(faults.into_iter().map(|fault| format!("{when}: {fault}")));
    }

    /// The last checks.
    pub(super) fn finish<P: Scheduler + Clone>(
        &mut self,
        machine: &mut Machine<Stress<P>>,
        audit: &Audit,
    ) {
        self.expect_settled(audit, "at the end");
        self.faults.extend(ledger_faults(machine.grid()));
        for account in machine.grid().accounts() {
            if account.usage.queue_length > 0 {
                self.faults.push(format!("left in a queue: {account:?}"));
            }
        }
        for core in machine.cores() {
            self.demotions += core.demotions();
            if core.waiting() > 0 {
                self.faults
                    .push(format!("{} still wait on a core", core.waiting()));
            }
        }
        (self.sent, self.executed, self.returned) = audit.counts();
        self.cycles = machine.now();
    }
}
