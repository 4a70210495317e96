//! A plan, as tables.

use std::fmt::Write;

use anstyle::Style;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use vortex_sched_config::value::Right;
use vortex_sched_config::{ActivityIndex, Instance, Plan};

use super::asks::{
    NEW, alike, budget, core_numbers, describing, entitlement, on_core, part, percent, rows,
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
        let cells = groups.iter().map(|group| {
            let all = on_core(plan, row, &rows, group[0]);
            let texts: Vec<_> = all.into_iter().map(|gets| gets.text).collect();
            texts.join(", ")
        });
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
            percent(part(u64::from(activity.weight.thousandths()), total)),
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
                entitlement(&scheduler.algorithm, own, all.iter()).text,
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
