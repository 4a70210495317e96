//! An independent reader, `serde-xml-rs`, against ours: the same files give the same values.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use vortex_sched_config::{Configuration, Known, parse};

mod generate;

fn written(configuration: &Configuration) -> String {
    serde_xml_rs::to_string(configuration).expect("every configuration can be written")
}

fn read_by_serde(text: &str) -> Configuration {
    serde_xml_rs::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn read_by_us(text: &str) -> Configuration {
    parse(text).unwrap_or_else(|report| panic!("{report}\n{text}"))
}

proptest! {
    #[test]
    fn both_read_what_was_written(configuration in generate::configuration()) {
        let text = written(&configuration);
        prop_assert_eq!(&read_by_us(&text), &configuration, "ours: {}", text);
        prop_assert_eq!(&read_by_serde(&text), &configuration, "serde-xml-rs: {}", text);
    }

    /// Blanks around every text, and comments between elements, change nothing for either.
    #[test]
    fn both_ignore_layout(configuration in generate::configuration()) {
        let text = written(&configuration)
            .replace("><", ">\n  <!-- a comment -->\t<")
            .replace("</share>", " \r\n </share>")
            .replace("<tag>", "<tag> ");
        prop_assert_eq!(read_by_us(&text), read_by_serde(&text));
    }

    #[test]
    fn checking_never_panics(configuration in generate::configuration(), cores in 0..9u32) {
        let known = Known::standard(cores);
        let report = configuration.check(&known);
        prop_assert_eq!(configuration.plan(&known).is_ok(), report.faults.is_empty());
    }
}

#[test]
fn both_read_the_examples_alike() {
    for text in [
        include_str!("../examples/figure-6.xml"),
        include_str!("../examples/cpu.xml"),
        include_str!("../examples/files.xml"),
        include_str!("../examples/web.xml"),
        include_str!("../examples/disk.xml"),
        include_str!("../examples/default.xml"),
    ] {
        let configuration = read_by_us(text);
        assert_eq!(read_by_serde(text), configuration);
        assert_eq!(read_by_us(&written(&configuration)), configuration);
    }
}
