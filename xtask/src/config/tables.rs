//! A plan, as tables.

use std::fmt::Write;

use anstyle::Style;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use vortex_sched_config::value::{Right, Share, Ttl};
use vortex_sched_config::{
    ActivityIndex, Asks, Budget, Instance, Known, LoadSharingPlan, Parameters, Plan, SchedulerPlan,
    Takes,
};

const TITLE: Style = Style::new().bold();
/// One line, below the header.
const LINES: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// What the table of schedulers needs to be read.
const NOTE: &str = "\
 An activity's home runs its threads and its part of every resource that is not named here.
 * while there is work that is no activity's; the others divide what that leaves.
";

/// All tables of a plan.
pub(super) fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    let groups = alike(plan);
    section(&mut out, "Cores", &cores(plan, &groups));
    section(&mut out, "Schedulers", &schedulers(plan, &groups));
    out.push_str(NOTE);
    section(&mut out, "Threads", &threads(plan));
    section(&mut out, "Activities", &activities(plan));
    section(
        &mut out,
        "Clients with parameters of their own",
        &clients(plan),
    );
    section(&mut out, "Network", &networks(plan));
    section(&mut out, "Processes", &processes(plan));
    out
}

fn section(out: &mut String, title: &str, table: &Table) {
    if !table.is_empty() {
        // What a terminal would act on is not for a file to say.
        let control = |character: char| character.is_control() && character != '\n';
        let text = table.trim_fmt().replace(control, "·");
        // Writing to a string does not fail.
        let _ = write!(out, "\n{TITLE}{title}{TITLE:#}\n{text}\n");
    }
}

fn table<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(LINES);
    table.set_header(header.into_iter().map(Into::into).collect::<Vec<String>>());
    table
}

/// Cores with the same algorithm and the same clients, as indices into the cores of the plan.
fn alike(plan: &Plan) -> Vec<Vec<usize>> {
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

fn core_numbers(plan: &Plan, indices: &[usize]) -> String {
    ranges(indices.iter().map(|index| plan.cores[*index].core.0))
}

fn cores(plan: &Plan, groups: &[Vec<usize>]) -> Table {
    let mut table = table([
        "core",
        "CPU multiplexor",
        "algorithm",
        "schedulers that ask it",
    ]);
    for group in groups {
        let tags: Vec<_> = group
            .iter()
            .map(|index| plan.cores[*index].tag.as_str())
            .collect();
        let first = &plan.cores[group[0]];
        table.add_row([
            core_numbers(plan, group),
            tags.join(", "),
            first.algorithm.clone(),
            first.clients.len().to_string(),
        ]);
    }
    table
}

/// A scheduler that asks for CPU time: one of the file, or the home of an activity.
struct Row<'a> {
    name: String,
    describing: [String; 3],
    asks: &'a [(Asks, Parameters)],
    /// The infrastructure's home: what it gets is not counted in what the others get.
    is_aside: bool,
}

/// The weight of an activity that comes later, for which there is a line when no other has one.
const NEW: Share = Share::DEFAULT;

fn rows<'a>(plan: &'a Plan, new: &'a [(Asks, Parameters)]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let of_resources = plan.schedulers.iter();
    for scheduler in of_resources.filter(|scheduler| !scheduler.is_of_threads()) {
        rows.push(Row {
            name: scheduler.name.clone(),
            describing: describing(plan, scheduler),
            asks: &scheduler.asks,
            is_aside: false,
        });
    }
    let home = |of: String, asks, is_aside| Row {
        name: format!("home of {of}"),
        describing: ["propshare.wfq".into(), "cpu".into(), String::new()],
        asks,
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

fn describing(plan: &Plan, scheduler: &SchedulerPlan) -> [String; 3] {
    [
        scheduler.algorithm.clone(),
        scheduler.metric.to_string(),
        load_sharing(plan, scheduler),
    ]
}

fn schedulers(plan: &Plan, groups: &[Vec<usize>]) -> Table {
    let headers = ["scheduler", "algorithm", "by", "load sharing"].map(String::from);
    let cores = groups
        .iter()
        .map(|group| format!("core {}", core_numbers(plan, group)));
    let mut table = table(headers.into_iter().chain(cores));
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let new = plan.home(None, NEW);
    let rows = rows(plan, &new);
    for row in &rows {
        let cells = groups.iter().map(|group| cell(plan, row, &rows, group[0]));
        let describing = std::iter::once(&row.name).chain(&row.describing).cloned();
        table.add_row(describing.chain(cells));
    }
    table
}

/// The schedulers of threads: each process has one, in the home of its activity.
fn threads(plan: &Plan) -> Table {
    let header = [
        "threads",
        "algorithm",
        "by",
        "load sharing",
        "timeslice",
        "cores",
    ];
    let mut table = table(header);
    let own = plan.schedulers.iter();
    let own = own.filter(|scheduler| matches!(scheduler.instance, Instance::Of(_)));
    for scheduler in std::iter::once(plan.threads(None)).chain(own) {
        let [algorithm, by, sharing] = describing(plan, scheduler);
        table.add_row([
            scheduler.name.clone(),
            algorithm,
            by,
            sharing,
            format!("{} µs", scheduler.timeslice),
            core_numbers(plan, &scheduler.cores),
        ]);
    }
    table
}

/// What a scheduler gets on a core: from its multiplexor, or from schedulers there.
fn cell(plan: &Plan, row: &Row<'_>, rows: &[Row<'_>], core: usize) -> String {
    let mut parts = Vec::new();
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
        let all = beside.filter(|(other, _)| other == asks);
        let part = entitlement(algorithm, own, all.map(|(_, all)| all));
        let aside = if row.is_aside { " *" } else { "" };
        parts.push(format!("{part}{of}{aside}"));
    }
    parts.join(", ")
}

/// What a client is entitled to under an algorithm, beside all its clients.
fn entitlement<'a>(
    algorithm: &str,
    own: &Parameters,
    all: impl Iterator<Item = &'a Parameters>,
) -> String {
    let takes = Known::standard(0)
        .algorithm(algorithm)
        .map(|algorithm| algorithm.takes);
    match takes {
        Some(Takes::Share) => {
            let total: u64 = all
                .map(|client| u64::from(client.share.thousandths()))
                .sum();
            percent(u64::from(own.share.thousandths()), total)
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
    }
}

fn percent(part: u64, whole: u64) -> String {
    // Both are at most 10^7 times the number of clients, far from where precision ends.
    format!("{:.2} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn budget(budget: Budget) -> String {
    format!("{} µs every {} µs", budget.time, budget.period)
}

fn load_sharing(plan: &Plan, scheduler: &SchedulerPlan) -> String {
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

fn activities(plan: &Plan) -> Table {
    let mut table = table(["activity", "weight", "of all", "memory", "CPU at most"]);
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let weights = plan
        .activities
        .iter()
        .map(|activity| u64::from(activity.weight.thousandths()));
    let total = weights.sum();
    for activity in &plan.activities {
        table.add_row([
            activity.name.clone(),
            activity.weight.to_string(),
            percent(u64::from(activity.weight.thousandths()), total),
            activity
                .memory
                .map_or("unlimited".to_string(), |memory| memory.to_string()),
            activity.cpu.map_or("unlimited".to_string(), budget),
        ]);
    }
    table
}

fn clients(plan: &Plan) -> Table {
    let mut table = table(["scheduler", "activity", "gets"]);
    for scheduler in plan
        .schedulers
        .iter()
        .filter(|scheduler| !scheduler.clients.is_empty())
    {
        let indexed = plan.activities.iter().enumerate();
        let all: Vec<_> = indexed
            .map(|(index, activity)| scheduler.client(ActivityIndex(index), activity.weight))
            .collect();
        for (activity, own) in &scheduler.clients {
            table.add_row([
                scheduler.name.clone(),
                plan.activities[activity.0].name.clone(),
                entitlement(&scheduler.algorithm, own, all.iter()),
            ]);
        }
    }
    table
}

fn networks(plan: &Plan) -> Table {
    let mut table = table(["interface", "address", "gateway", "rate"]);
    for network in &plan.networks {
        table.add_row([
            network.interface.clone(),
            network.address.unwrap_or_default().to_string(),
            network
                .gateway
                .map_or(String::new(), |gateway| gateway.to_string()),
            network.rate.map_or(String::new(), |rate| rate.to_string()),
        ]);
    }
    table
}

fn processes(plan: &Plan) -> Table {
    let mut table = table(["process", "activity", "command", "output", "rights"]);
    for process in &plan.processes {
        let words = std::iter::once(&process.path)
            .chain(&process.args)
            .map(String::as_str);
        table.add_row([
            process.name.clone(),
            plan.activities[process.activity.0].name.clone(),
            words.collect::<Vec<_>>().join(" "),
            process.stdout.clone().unwrap_or("console".to_string()),
            match process.rights.as_slice() {
                [] => "none".to_string(),
                rights => rights
                    .iter()
                    .map(|right| Right::name(*right))
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        ]);
    }
    table
}
