//! `cargo xtask grid`: pictures of configurations.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn grid(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(root())
        .arg("grid")
        .args(arguments)
        .output()
        .expect("xtask starts")
}

/// The picture of a file, which is well-formed.
fn picture(file: &str) -> String {
    let output = grid(&[file, "--svg"]);
    assert!(output.status.success(), "{file}: {output:?}");
    let svg = String::from_utf8(output.stdout).expect("UTF-8");
    roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{file}: {error}"));
    svg
}

#[test]
fn the_picture_in_the_documentation_is_the_one_of_the_example() {
    let svg = picture("sched-config/examples/web.xml");
    let kept = root().join("docs/web.svg");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&kept, &svg).expect("docs can be written to");
    }
    assert_eq!(svg, fs::read_to_string(kept).expect("it is there"));
}

#[test]
fn every_scheduler_is_in_the_picture() {
    for name in ["cpu", "files", "disk", "web", "default", "figure-6"] {
        let file = format!("sched-config/examples/{name}.xml");
        let svg = picture(&file);
        let xml = fs::read_to_string(root().join(&file)).expect("it is there");
        let xml = roxmltree::Document::parse(&xml).expect("well-formed");
        let own = |name| {
            xml.descendants()
                .filter(move |node| node.has_tag_name(name))
        };
        for resource in own("resourcescheduler").flat_map(|node| node.children()) {
            let named = resource.has_tag_name("resource").then(|| resource.text());
            let named = named.flatten().map(str::trim);
            if let Some(named) = named.filter(|named| *named != "resource.thread") {
                assert!(svg.contains(named), "{file}: {named}");
            }
        }
        for activity in own("activity").filter_map(|node| node.attribute("name")) {
            assert!(svg.contains(&format!("home of {activity}")), "{file}");
        }
    }
}

#[test]
fn names_are_text_whatever_is_in_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("<&>.xml");
    let xml = r#"<schedulerconfig>
        <activity name="&lt;script&gt; &amp;"/>
        <cpumultiplexor tag="m"><core>0</core><algorithm>fifo</algorithm></cpumultiplexor>
    </schedulerconfig>"#;
    fs::write(&file, xml).expect("written");
    let svg = picture(file.to_str().expect("UTF-8"));
    assert!(svg.contains("home of &lt;script&gt; &amp;"), "{svg}");
}

#[test]
fn a_file_with_faults_has_no_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.svg");
    let output = grid(&["README.md", "--svg", out.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!out.exists());
}
