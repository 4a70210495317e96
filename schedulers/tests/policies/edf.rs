//! EDF: the bounds that its documentation states.

use proptest::prelude::*;
use vortex_schedulers::Policy;
use vortex_toolkit::scheduler::{ClientParams, Ready, Reservation};

use crate::machine::Machine;

/// Sends `requests` requests of `cost` cycles each every `period` cycles, due at the period's end.
#[derive(Clone, Copy, Debug)]
struct Task {
    period: u64,
    offset: u64,
    requests: u64,
    cost: u64,
    reservation: Option<Reservation>,
}

impl Task {
    const fn params(self) -> ClientParams {
        let mut params = PARAMS;
        params.deadline_cycles = self.period;
        params.reservation = self.reservation;
        params
    }
}

const PARAMS: ClientParams = ClientParams {
    weight: vortex_toolkit::scheduler::Weight::DEFAULT,
    priority: 0,
    deadline_cycles: 0,
    reservation: None,
    queue_limit: u32::MAX,
};

/// What became of one request.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    client: u32,
    deadline: u64,
    finished: u64,
}

/// Runs the tasks for `horizon` cycles.
fn simulate(tasks: &[Task], horizon: u64) -> Vec<Outcome> {
    let mut machine = Machine::new(Policy::Edf);
    let mut next: Vec<u64> = tasks.iter().map(|task| task.offset).collect();
    for (client, task) in (0..).zip(tasks) {
        machine.add(client, &task.params());
    }
    let mut outcomes = Vec::new();
    while machine.now < horizon {
        for (client, task) in (0..).zip(tasks) {
            let next = &mut next[client as usize];
            while *next <= machine.now {
                for _ in 0..task.requests {
                    machine.send_at(client, *next, task.cost);
                }
                *next += task.period;
            }
        }
        let Some(client) = machine.choose() else {
            let arrival = next.iter().copied().min().unwrap_or(horizon);
            machine.now = match machine.poll() {
                Ready::At(time) => time.min(arrival),
                Ready::Never => arrival,
                Ready::Now => panic!("it chose nobody, yet says it can"),
            };
            continue;
        };
        let request = machine.run(client);
        machine.ready(client);
        outcomes.push(Outcome {
            client,
            deadline: request.view.sent_at + tasks[client as usize].period,
            finished: machine.now,
        });
    }
    outcomes
}

/// Tasks that together use at most `share` percent of the processor, with the cost of one request
/// in `costs`.
fn task_set(share: u64, costs: std::ops::Range<u64>) -> impl Strategy<Value = Vec<Task>> {
    let task = (2..60_u64, 0..60_u64, 1..100_u64, costs);
    prop::collection::vec(task, 1..7).prop_map(move |tasks| {
        // In millionths, so that the sum of what is handed out stays within the share.
        let mut left = share * 10_000;
        let mut set = Vec::new();
        for (period, offset, part, cost) in tasks {
            let period = period * cost;
            let requests = (left * part / 100) * period / cost / 1_000_000;
            left -= (requests * cost * 1_000_000).div_ceil(period);
            if requests > 0 {
                let reservation = None;
                set.push(Task {
                    period,
                    offset,
                    requests,
                    cost,
                    reservation,
                });
            }
        }
        set
    })
}

fn largest(tasks: &[Task]) -> u64 {
    tasks.iter().map(|task| task.cost).max().unwrap_or(0)
}

/// The greatest lateness of the given clients' requests.
fn lateness(outcomes: &[Outcome], clients: std::ops::Range<u32>) -> u64 {
    let of = |outcome: &&Outcome| clients.contains(&outcome.client);
    let late = |outcome: &Outcome| outcome.finished.saturating_sub(outcome.deadline);
    outcomes.iter().filter(of).map(late).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(crate::machine::same_every_time())]

    #[test]
    fn with_preemption_points_no_deadline_is_missed(tasks in task_set(100, 1..2)) {
        let outcomes = simulate(&tasks, 3000);
        prop_assert_eq!(lateness(&outcomes, 0..u32::MAX), 0);
    }

    #[test]
    fn without_them_nobody_is_later_than_one_request(tasks in task_set(100, 1..40)) {
        let outcomes = simulate(&tasks, 20_000);
        prop_assert!(lateness(&outcomes, 0..u32::MAX) <= largest(&tasks));
    }

    #[test]
    fn budgets_are_kept_in_every_window(
        budget in 1..50_u64,
        period in 1..200_u64,
        cost in 1..80_u64,
        others in task_set(60, 1..10),
    ) {
        let reservation = Some(Reservation { budget, period_cycles: period });
        // It always wants more: its requests are all sent at the start.
        let greedy = Task { period: 1 << 30, offset: 0, requests: 3000, cost, reservation };
        let tasks: Vec<Task> = others.into_iter().chain([greedy]).collect();
        let client = tasks.len() as u32 - 1;
        let horizon = 10_000;
        let outcomes = simulate(&tasks, horizon);
        let windows = (horizon / period) as usize + 1;
        let mut charged = vec![0; windows + 2 * cost as usize];
        for outcome in outcomes.iter().filter(|outcome| outcome.client == client) {
            charged[(outcome.finished / period) as usize] += cost;
        }
        for first in 0..windows {
            let mut sum = 0;
            for (count, amount) in (1..).zip(&charged[first..windows]) {
                sum += amount;
                prop_assert!(sum < count * budget + cost, "{} in {} windows", sum, count);
            }
        }
    }

    #[test]
    fn overload_within_reservations_harms_nobody_else(
        modest in task_set(50, 1..20),
        greedy in prop::collection::vec((1..10_u64, 2..10_u64, 1..30_u64), 1..4),
    ) {
        let share = 2 * greedy.len() as u64;
        let greedy = greedy.into_iter().map(|(budget, sparse, cost)| {
            let period = budget * share * sparse / 2;
            let reservation = Some(Reservation { budget, period_cycles: period });
            Task { period, offset: 0, requests: period + 1, cost, reservation }
        });
        let victims = modest.len() as u32;
        let tasks: Vec<Task> = modest.into_iter().chain(greedy).collect();
        let reserved = tasks[victims as usize..].iter();
        let interference: u64 = reserved
            .map(|task| task.cost + task.reservation.map_or(0, |r| r.budget))
            .sum();
        let late = lateness(&simulate(&tasks, 10_000), 0..victims);
        let bound = largest(&tasks) + interference;
        prop_assert!(late <= bound, "late by {}, bound {}", late, bound);
    }

    #[test]
    fn in_overload_nobody_waits_for_requests_sent_after_the_deadline(
        periods in prop::collection::vec(20..200_u64, 2..6),
    ) {
        let task = |period| Task {
            period,
            offset: 0,
            requests: period / 10,
            cost: 7,
            reservation: None,
        };
        let tasks: Vec<Task> = periods.into_iter().map(task).collect();
        let least = tasks.iter().map(|task| task.period).min().unwrap_or(0);
        let outcomes = simulate(&tasks, 4000);
        for (position, outcome) in outcomes.iter().enumerate() {
            let overtaken_by = |other: &&Outcome| {
                let sent_at = other.deadline - tasks[other.client as usize].period;
                sent_at > outcome.deadline - least
            };
            prop_assert!(outcomes[..position].iter().all(|other| !overtaken_by(&other)));
        }
    }
}

#[test]
fn who_has_used_up_the_budget_waits_for_the_next_window() {
    let mut machine = Machine::new(Policy::Edf);
    let reservation = Reservation {
        budget: 100,
        period_cycles: 1000,
    };
    let params = ClientParams {
        deadline_cycles: 500,
        reservation: Some(reservation),
        ..ClientParams::default()
    };
    machine.add(0, &params);
    machine.now = 50;
    for _ in 0..3 {
        machine.send(0, 250);
    }
    assert_eq!(machine.serve(), Some(0));
    // 250 were taken: 100 of this window, 100 of the next, 50 of the one after.
    assert_eq!(machine.poll(), Ready::At(2050));
    assert_eq!(machine.choose(), None);
    machine.now = 2050;
    assert_eq!(machine.serve(), Some(0));
    assert_eq!(machine.poll(), Ready::At(5050));
    machine.update(0, &ClientParams::default());
    assert_eq!(
        machine.poll(),
        Ready::Now,
        "without a reservation nothing keeps it"
    );
}

#[test]
fn requests_late_through_their_own_doing_do_not_win() {
    let mut machine = Machine::new(Policy::Edf);
    let reservation = Reservation {
        budget: 100,
        period_cycles: 1000,
    };
    let greedy = ClientParams {
        deadline_cycles: 1000,
        reservation: Some(reservation),
        ..ClientParams::default()
    };
    let modest = ClientParams {
        deadline_cycles: 900,
        ..ClientParams::default()
    };
    machine.add(0, &greedy);
    machine.add(1, &modest);
    machine.send(0, 100);
    machine.send(0, 100);
    assert_eq!(machine.serve(), Some(0));
    machine.now = 1000;
    machine.send(1, 10);
    assert_eq!(
        machine.serve(),
        Some(1),
        "the other's second request is due at 2000, not 1000"
    );
    assert_eq!(machine.serve(), Some(0));
}
