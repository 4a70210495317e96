//! The example files, the built-in default, and the README.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vortex_sched_config::schema::{Content, ElementRule, ROOT};
use vortex_sched_config::value::{Core, LoadSharingPolicy, Metric, Share};
use vortex_sched_config::{
    ALGORITHMS, ActivityIndex, Asker, Asks, Configuration, CorePlan, Instance, Known,
    LoadSharingPlan, Loaded, Plan, RESOURCES, load,
};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn example(name: &str, cores: u32) -> Loaded {
    let text = file(&format!("examples/{name}.xml"));
    let loaded = load(text.as_bytes(), &Known::standard(cores));
    loaded.unwrap_or_else(|report| panic!("{name}: {report}"))
}

fn share(text: &str) -> Share {
    text.parse().expect("a share")
}

/// What each scheduler and each activity's home gets of a core, in thousandths of a per cent, while
/// the infrastructure has no work.
fn parts(plan: &Plan, core: &CorePlan) -> Vec<(String, u64)> {
    let thousandths = |share: Share| u64::from(share.thousandths());
    let infrastructure = Asker::Home(ActivityIndex::INFRASTRUCTURE);
    let clients = core.clients.iter();
    let clients: Vec<_> = clients
        .filter(|(asker, _)| *asker != infrastructure)
        .collect();
    let total: u64 = clients
        .iter()
        .map(|(_, given)| thousandths(given.share))
        .sum();
    let part = |share| (thousandths(share) * 100_000 + total / 2) / total;
    let name = |asker| match asker {
        Asker::Scheduler(index) => plan.schedulers[index.0].name.clone(),
        Asker::Home(activity) => format!("home of {}", plan.activities[activity.0].name),
    };
    let named = clients.into_iter();
    named
        .map(|(asker, given)| (name(*asker), part(given.share)))
        .collect()
}

#[test]
fn figure_6_says_what_the_paper_says() {
    let Loaded {
        configuration,
        plan,
        warnings,
    } = example("figure-6", 2);
    assert_eq!(warnings, []);
    let multiplexors: Vec<_> = configuration
        .multiplexors
        .iter()
        .map(|one| (one.tag.as_str(), one.core, one.algorithm.as_str()))
        .collect();
    assert_eq!(
        multiplexors,
        [
            ("cpumux0", Core(0), "propshare.wfq"),
            ("cpumux1", Core(1), "propshare.wfq")
        ]
    );
    let schedulers: Vec<_> = plan
        .schedulers
        .iter()
        .map(|one| {
            let asks = one.asks.iter().map(|(asks, given)| (*asks, given.share));
            (
                one.resource.as_deref(),
                one.algorithm.as_str(),
                asks.collect::<Vec<_>>(),
            )
        })
        .collect();
    // An activity that comes has what the file gives threads, where it gives them something.
    let home = plan.home(None, Share::DEFAULT);
    let home: Vec<_> = home
        .iter()
        .map(|(asks, given)| (*asks, given.share))
        .collect();
    let (zero, one) = (Asks::Core(0), Asks::Core(1));
    assert_eq!(home, [(zero, share("40")), (one, share("40"))]);
    assert_eq!(
        schedulers,
        [
            (
                Some("resource.tcp"),
                "propshare.round-robin",
                vec![(zero, share("20")), (one, share("40"))]
            ),
            (
                Some("resource.thread"),
                "priority.strict",
                vec![(zero, share("40"))]
            ),
        ]
    );
}

#[test]
fn the_cpu_experiment_divides_every_core_50_33_17() {
    let plan = example("cpu", 4).plan;
    assert_eq!(plan.cores.len(), 4);
    for core in &plan.cores {
        let expected = [("cpu50", 50_000), ("cpu33", 33_000), ("cpu17", 17_000)]
            .map(|(name, part)| (format!("home of {name}"), part));
        assert_eq!(parts(&plan, core), expected);
    }
    let threads = plan.threads(Some(plan.processes[0].activity));
    assert_eq!(threads.instance, Instance::Pattern);
    assert_eq!(threads.timeslice.get(), 5000);
}

#[test]
fn resources_have_half_of_every_core_in_the_other_experiments() {
    for (name, cores) in [("files", 4), ("web", 8), ("disk", 8)] {
        let plan = example(name, cores).plan;
        let threads = &plan.threads(None).cores;
        assert!(!threads.is_empty(), "{name}");
        for (index, core) in plan.cores.iter().enumerate() {
            let parts = parts(&plan, core);
            let homes = parts.iter().filter(|(name, _)| name.starts_with("home of"));
            let sum: u64 = homes.map(|(_, part)| part).sum();
            // Elsewhere, as much as one resource more.
            let resources = parts.len() as u64 - 3;
            let elsewhere = 100_000 / (resources + 1);
            let expected = if threads.contains(&index) {
                50_000
            } else {
                elsewhere
            };
            assert!(sum.abs_diff(expected) <= 3, "{name}: {parts:?}");
        }
    }
}

#[test]
fn the_web_experiment_has_its_device_and_its_servers_on_one_core_each() {
    let plan = example("web", 8).plan;
    let of = |name: &str| {
        plan.schedulers
            .iter()
            .find(|one| one.resource.as_deref() == Some(name))
            .expect(name)
    };
    assert_eq!(
        (
            of("resource.dwr").cores.as_slice(),
            of("resource.dwr").metric
        ),
        (&[6][..], Metric::Bytes)
    );
    assert_eq!(
        (
            of("resource.dir").cores.as_slice(),
            of("resource.dir").metric
        ),
        (&[6][..], Metric::Cpu)
    );
    assert_eq!(of("resource.tcp").cores.len(), 8);
    assert!(matches!(
        of("resource.thread").load_sharing,
        LoadSharingPlan::Fixed(7, _)
    ));
    assert!(matches!(
        of("resource.tcp").load_sharing,
        LoadSharingPlan::Policy(LoadSharingPolicy::AffinityHash, _)
    ));
}

#[test]
fn the_default_file_is_the_built_in_configuration() {
    assert_eq!(
        example("default", 4).configuration,
        Configuration::builtin(4)
    );
}

#[test]
fn the_built_in_configuration_is_sound_on_any_machine() {
    for cores in [1, 2, 3, 64, 256] {
        let configuration = Configuration::builtin(cores);
        let report = configuration.check(&Known::standard(cores));
        assert!(
            report.faults.is_empty() && report.warnings.is_empty(),
            "{cores}: {report}"
        );
        let plan = configuration.plan(&Known::standard(cores)).expect("sound");
        assert_eq!(plan.cores.len(), cores as usize);
        assert_eq!(plan.schedulers.len(), 1);
    }
}

/// All names of elements and attributes that may stand in a file.
fn names(rule: &'static ElementRule, into: &mut BTreeSet<String>) {
    into.insert(format!("`<{}>`", rule.name));
    for attribute in rule.attributes {
        into.insert(format!("`{}=`", attribute.name_in_file()));
    }
    if let Content::Elements(children) = &rule.content {
        for child in *children {
            names(child.element, into);
        }
    }
}

#[test]
fn the_readme_names_everything_there_is() {
    let readme = file("README.md");
    let mut expected = BTreeSet::new();
    names(&ROOT, &mut expected);
    expected.extend(ALGORITHMS.iter().map(|one| format!("`{}`", one.name)));
    expected.extend(RESOURCES.iter().map(|one| format!("`{}`", one.name)));
    expected.extend(Metric::ALL.iter().map(|one| format!("`{one}`")));
    expected.extend(LoadSharingPolicy::ALL.iter().map(|one| format!("`{one}`")));
    let missing: Vec<_> = expected
        .iter()
        .filter(|name| !readme.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "the README lacks {missing:?}");
}
