//! Who asks whom for processor time, and what that comes to: what the tables and the picture of a plan
//! have in common.

use vortex_sched_config::value::{Share, Ttl};
use vortex_sched_config::{
    ActivityIndex, Asks, Budget, Known, LoadSharingPlan, Parameters, Plan, SchedulerPlan, Takes,
};

/// Cores with the same algorithm and the same clients, as indices into the cores of the plan.
pub(super) fn alike(plan: &Plan) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, core) in plan.cores.iter().enumerate() {
        let same = |group: &&mut Vec<usize>| {
            let other = &plan.cores[group[0]];
            other.algorithm == core.algorithm && other.clients == core.clients
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// Numbers as ranges: `0-5, 7`.
fn ranges(numbers: impl Iterator<Item = u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number == *last + 1 => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let texts = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

pub(super) fn core_numbers(plan: &Plan, indices: &[usize]) -> String {
    ranges(indices.iter().map(|index| plan.cores[*index].core.0))
}

/// A scheduler that asks for CPU time: one of the file, or the home of an activity.
pub(super) struct Row<'a> {
    pub(super) name: String,
    /// The algorithm, the metric, and how load is shared.
    pub(super) describing: [String; 3],
    asks: &'a [(Asks, Parameters)],
    /// Whether it is an activity's home.
    pub(super) is_home: bool,
    /// The infrastructure's home: what it gets is not counted in what the others get.
    is_aside: bool,
}

/// The weight of an activity that comes later, for which there is a line when no other has one.
pub(super) const NEW: Share = Share::DEFAULT;

pub(super) fn rows<'a>(plan: &'a Plan, new: &'a [(Asks, Parameters)]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let of_resources = plan.schedulers.iter();
    for scheduler in of_resources.filter(|scheduler| !scheduler.is_of_threads()) {
        rows.push(Row {
            name: scheduler.name.clone(),
            describing: describing(plan, scheduler),
            asks: &scheduler.asks,
            is_home: false,
            is_aside: false,
        });
    }
    let home = |of: String, asks, is_aside| Row {
        name: format!("home of {of}"),
        describing: ["propshare.wfq".into(), "cpu".into(), String::new()],
        asks,
        is_home: true,
        is_aside,
    };
    let named = plan.activities.iter().zip(&plan.homes).enumerate();
    let homes = named.map(|(index, (activity, asks))| {
        let is_aside = index == ActivityIndex::INFRASTRUCTURE.0;
        home(activity.name.clone(), asks.as_slice(), is_aside)
    });
    rows.extend(homes);
    if plan.activities.len() == 1 {
        rows.push(home(format!("a new activity of {NEW}"), new, false));
    }
    rows
}

pub(super) fn describing(plan: &Plan, scheduler: &SchedulerPlan) -> [String; 3] {
    [
        scheduler.algorithm.clone(),
        scheduler.metric.to_string(),
        load_sharing(plan, scheduler),
    ]
}

/// What a client gets from a scheduler.
pub(super) struct Gets {
    /// In words.
    pub(super) text: String,
    /// The part of all, where shares decide.
    pub(super) part: Option<f64>,
}

/// What a scheduler gets on a core: from its multiplexor, or from schedulers there.
pub(super) fn on_core(plan: &Plan, row: &Row<'_>, rows: &[Row<'_>], core: usize) -> Vec<Gets> {
    let mut all = Vec::new();
    for (asks, own) in row.asks {
        let (algorithm, of) = match asks {
            Asks::Core(asked) if *asked == core => (&plan.cores[core].algorithm, String::new()),
            Asks::Scheduler(asked) if plan.schedulers[asked.0].cores.contains(&core) => {
                let asked = &plan.schedulers[asked.0];
                (&asked.algorithm, format!(" of {}", asked.name))
            }
            _ => continue,
        };
        let beside = rows.iter().filter(|other| row.is_aside || !other.is_aside);
        let beside = beside.flat_map(|other| other.asks);
        let clients = beside.filter(|(other, _)| other == asks);
        let gets = entitlement(algorithm, own, clients.map(|(_, all)| all));
        let aside = if row.is_aside { " *" } else { "" };
        all.push(Gets {
            text: format!("{}{of}{aside}", gets.text),
            ..gets
        });
    }
    all
}

/// What a client is entitled to under an algorithm, beside all its clients.
pub(super) fn entitlement<'a>(
    algorithm: &str,
    own: &Parameters,
    all: impl Iterator<Item = &'a Parameters>,
) -> Gets {
    let takes = Known::standard(0)
        .algorithm(algorithm)
        .map(|algorithm| algorithm.takes);
    let text = match takes {
        Some(Takes::Share) => {
            let thousandths = |client: &Parameters| u64::from(client.share.thousandths());
            let part = part(thousandths(own), all.map(thousandths).sum());
            let text = percent(part);
            let part = Some(part);
            return Gets { text, part };
        }
        Some(Takes::Priority) => format!("priority {}", own.priority),
        Some(Takes::Deadline) => {
            let deadline = own
                .deadline
                .map_or("no deadline".into(), |at| format!("{at} µs"));
            let budget = own
                .budget
                .map(|budget| format!(", {}", self::budget(budget)));
            deadline + &budget.unwrap_or_default()
        }
        Some(Takes::Nothing) | None => format!("1 of {}", all.count()),
    };
    Gets { text, part: None }
}

pub(super) fn part(part: u64, whole: u64) -> f64 {
    // Both are at most 10^7 times the number of clients, far from where precision ends.
    part as f64 / whole.max(1) as f64
}

pub(super) fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

pub(super) fn budget(budget: Budget) -> String {
    format!("{} µs every {} µs", budget.time, budget.period)
}

pub(super) fn load_sharing(plan: &Plan, scheduler: &SchedulerPlan) -> String {
    match scheduler.load_sharing {
        _ if scheduler.cores.len() == 1 => "one core".to_string(),
        LoadSharingPlan::Policy(policy, ttl) => format!("{policy}, {}", ttl_text(ttl)),
        LoadSharingPlan::Fixed(core, ttl) => {
            format!("fixed on core {}, {}", plan.cores[core].core, ttl_text(ttl))
        }
    }
}

fn ttl_text(ttl: Ttl) -> String {
    match ttl {
        Ttl::For(time) => format!("for {time} µs"),
        Ttl::Forever => "forever".to_string(),
    }
}
