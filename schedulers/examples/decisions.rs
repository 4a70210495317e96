//! Makes scheduling decisions and nothing else, for counting what one costs.
//!
//! `decisions POLICY CLIENTS DECISIONS`: CLIENTS clients that are always ready, DECISIONS rounds of
//! `schedule`, `resource_record`, `client_ready`. Under `valgrind --tool=callgrind`, the
//! instructions of two runs with different DECISIONS differ by those of the decisions alone.

use std::env;
use std::process::ExitCode;

use vortex_schedulers::Policy;
use vortex_toolkit::ids::{ActivityId, ClientId, CoreId, ResourceId};
use vortex_toolkit::record::{Metric, Record, RecordKind};
use vortex_toolkit::scheduler::{
    ClientKind, ClientParams, Immovable, Queues, RequestView, Scheduler, SchedulerParams, Weight,
};

const USAGE: &str = "usage: decisions POLICY CLIENTS DECISIONS, such as: propshare.wfq 16 1000000";

/// Queues that no policy looks into.
struct Unseen;

impl Queues for Unseen {
    fn len(&self, _client: ClientId) -> usize {
        1
    }

    fn peek(&self, _client: ClientId, _position: usize) -> Option<RequestView> {
        None
    }

    fn promote(&mut self, _client: ClientId, _position: usize) -> Result<(), Immovable> {
        Err(Immovable)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [policy, clients, decisions] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let (Ok(clients), Ok(decisions)) = (clients.parse(), decisions.parse()) else {
        eprintln!("not a number; {USAGE}");
        return ExitCode::FAILURE;
    };
    match Policy::from_name(policy) {
        Ok(policy) => {
            run(policy, clients, decisions);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(policy: Policy, clients: u32, decisions: u64) {
    let shared = policy.init(&SchedulerParams::default());
    let mut core = Policy::init_core(&shared, CoreId(0));
    let kind = ClientKind::Queue {
        resource: ResourceId(0),
        activity: ActivityId(1),
    };
    for number in 0..clients {
        let params = ClientParams {
            weight: Weight::new(100 + number % 300).unwrap_or(Weight::DEFAULT),
            priority: number as u8,
            ..ClientParams::default()
        };
        Policy::add_client(&mut core, ClientId(number), kind, &params);
        Policy::client_ready(&mut core, ClientId(number), 0, 0);
    }
    let mut now = 0;
    let mut noise = 1_u32;
    for _ in 0..decisions {
        let Some(client) = Policy::schedule(&mut core, &mut Unseen, now) else {
            break;
        };
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let cost = 1000 + u64::from(noise >> 20);
        now += cost;
        let mut basic = [0; Metric::COUNT];
        basic[Metric::Cpu as usize] = cost;
        let record = Record {
            kind: RecordKind::Executed,
            activity: ActivityId(1),
            basic: &basic,
            further: &[],
        };
        Policy::resource_record(&mut core, client, &record, now);
        Policy::client_ready(&mut core, client, now, now);
    }
}
