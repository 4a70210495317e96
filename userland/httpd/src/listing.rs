//! A page that lists what is in a folder.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a link as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The page of a folder; that of the root does not lead further up. Names that are not UTF-8 are
/// left out.
pub(crate) fn of(folder: &Path, is_root: bool) -> io::Result<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name().into_string().ok()?;
            Some((name, if is_folder { "/" } else { "" }))
        })
        .collect();
    names.sort();
    let mut page =
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>Index</title>\n<ul>\n".to_owned();
    if !is_root {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for (name, end) in names {
        let link = utf8_percent_encode(&name, PLAIN);
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "<li><a href=\"{link}{end}\">{}{end}</a>",
            escape(&name)
        );
    }
    page.push_str("</ul>\n");
    Ok(page)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_page() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("<b>&\"c?.txt"), "").unwrap();
        std::fs::create_dir(folder.path().join("sub folder")).unwrap();
        let page = of(folder.path(), false).unwrap();
        let file = "<li><a href=\"%3Cb%3E%26%22c%3F.txt\">&lt;b&gt;&amp;&quot;c?.txt</a>\n";
        assert!(page.contains(file), "{page}");
        assert!(page.contains("<li><a href=\"sub%20folder/\">sub folder/</a>\n"));
        assert!(page.contains("../") && !of(folder.path(), true).unwrap().contains("../"));
    }
}
