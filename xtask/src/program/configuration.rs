//! The configuration that starts one program.

use anyhow::{Context, Result, bail};
use vortex_sched_config::value::Right;
use vortex_sched_config::{Configuration, INFRASTRUCTURE, Known, Process, Variable, load, parse};

use super::Program;

/// The configuration of `program`, or the built-in one, with its process instead of those that are
/// in it. The process has an activity of its own.
///
/// # Errors
/// When the configuration has faults, or something of the process cannot be expressed in it.
pub fn with_process(program: &Program) -> Result<String> {
    let mut configuration = match program.configuration.as_str() {
        "" => Configuration::builtin(program.smp),
        text => parse(text).map_err(|report| anyhow::anyhow!("the configuration: {report}"))?,
    };
    let process = process(program);
    configuration.processes = vec![process.clone()];
    let xml = serde_xml_rs::to_string(&configuration).context("cannot write a configuration")?;
    match load(xml.as_bytes(), &Known::standard(program.smp)) {
        Ok(loaded) if loaded.configuration.processes == [process] => Ok(xml),
        Ok(_) => bail!(
            "arguments and variables go through a file that takes blanks away from the ends of \
             texts; expected none there"
        ),
        Err(report) => bail!("the configuration, with the program: {report}"),
    }
}

fn process(program: &Program) -> Process {
    let name = program.path.rsplit('/').next().unwrap_or_default();
    let taken = name.is_empty() || name == INFRASTRUCTURE;
    let variable = |(name, value): &(String, String)| Variable {
        name: name.clone(),
        value: value.clone(),
    };
    Process {
        name: if taken { "program".into() } else { name.into() },
        path: program.path.clone(),
        activity: None,
        args: program.arguments.clone(),
        env: program.environment.iter().map(variable).collect(),
        stdout: None,
        // There is nobody else whom it could do harm.
        rights: Right::ALL.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        Program {
            path: "/bin/tool".into(),
            arguments: ["", "two words", "<&>\"'", "line\nline", "\u{e9}"]
                .map(String::from)
                .into(),
            environment: vec![("HOME".into(), "/".into()), ("EMPTY".into(), String::new())],
            smp: 2,
            ..Program::default()
        }
    }

    #[test]
    fn the_program_is_the_only_process_and_keeps_its_arguments() {
        let xml = with_process(&program()).unwrap();
        let loaded = load(xml.as_bytes(), &Known::standard(2)).unwrap();
        let [process] = &loaded.configuration.processes[..] else {
            panic!("{xml}");
        };
        assert_eq!(process.args, program().arguments);
        assert_eq!(
            (process.name.as_str(), process.path.as_str()),
            ("tool", "/bin/tool")
        );
        assert!(
            loaded
                .plan
                .activities
                .iter()
                .any(|activity| activity.name == "tool")
        );
    }

    #[test]
    fn a_given_configuration_keeps_everything_but_its_processes() {
        let text = include_str!("../../../sched-config/examples/cpu.xml");
        let given = Program {
            configuration: text.into(),
            smp: 4,
            ..program()
        };
        let loaded = load(
            with_process(&given).unwrap().as_bytes(),
            &Known::standard(4),
        )
        .unwrap();
        assert_eq!(loaded.configuration.processes.len(), 1);
        assert_eq!(
            loaded.configuration.activities,
            parse(text).unwrap().activities
        );
        let few = Program { smp: 1, ..given };
        assert!(with_process(&few).is_err(), "it is for four processors");
    }

    #[test]
    fn what_cannot_be_expressed_is_refused() {
        for argument in [" blank", "control\u{1}"] {
            let arguments = vec![argument.to_owned()];
            assert!(
                with_process(&Program {
                    arguments,
                    ..program()
                })
                .is_err(),
                "{argument:?}"
            );
        }
    }
}
