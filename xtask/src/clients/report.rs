//! Writes the matrix into `docs/compatibility.md`, between markers; the text around them is written by hand.

use super::{Explained, Matrix, Outcome, ROWS};
use crate::server::Against;
use crate::{kafka, workspace};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

pub(super) fn write(against: Against, matrix: &Matrix, explained: &[Explained]) -> Result<()> {
    let path = workspace::root().join("docs/compatibility.md");
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let page = replace(&page, against.name(), &section(against, matrix, explained)?)?;
    fs::write(&path, page)?;
    println!("wrote docs/compatibility.md");
    Ok(())
}

/// Replaces what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
pub(crate) fn replace(page: &str, name: &str, section: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let missing = || format!("docs/compatibility.md has no markers for {name}");
    let (before, rest) = page.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}{section}{end}{after}"))
}

fn section(against: Against, matrix: &Matrix, explained: &[Explained]) -> Result<String> {
    let mut text = String::new();
    let broker = match against {
        Against::Watertable => format!("Watertable {}", env!("CARGO_PKG_VERSION")),
        Against::Kafka => format!("Apache Kafka {}", kafka::version()?),
    };
    let count = |outcome| {
        matrix
            .values()
            .filter(|cell| cell.outcome == outcome)
            .count()
    };
    writeln!(
        text,
        "Broker: {broker}. {} cells pass, {} fail, {} are not supported by the client itself.\n",
        count(Outcome::Pass),
        count(Outcome::Fail),
        count(Outcome::NotSupported)
    )?;
    text.push_str(&table(matrix, &ROWS, explained)?);
    Ok(text)
}

/// The versions of the clients, and a line for each row of a matrix.
pub(crate) fn table(
    matrix: &Matrix,
    rows: &[(&str, &str)],
    explained: &[Explained],
) -> Result<String> {
    let mut text = String::new();
    let mut versions = BTreeMap::new();
    for cell in matrix.values() {
        versions.insert(cell.client.as_str(), cell.version.as_str());
    }
    writeln!(text, "| Client | Version |\n|---|---|")?;
    for (client, version) in &versions {
        writeln!(text, "| {client} | {version} |")?;
    }
    let clients: Vec<_> = versions.keys().copied().collect();
    writeln!(
        text,
        "\n| | {} |\n|---|{}",
        clients.join(" | "),
        ":-:|".repeat(clients.len())
    )?;
    let mut notes = Vec::new();
    for (row, title) in rows {
        write!(text, "| {title} |")?;
        for client in &clients {
            let cell = matrix.get(&((*client).to_owned(), (*row).to_owned()));
            let Some(cell) = cell else {
                write!(text, " |")?;
                continue;
            };
            let word = match cell.outcome {
                Outcome::Pass => "yes",
                Outcome::Fail => "**fails**",
                Outcome::NotSupported => "–",
            };
            let reason = explained
                .iter()
                .find(|known| known.client == *client && known.row == *row);
            let note = reason.map_or(cell.detail.as_str(), |known| known.reason.as_str());
            match number_of(&mut notes, client, note) {
                Some(number) => write!(text, " {word} [{number}] |")?,
                None => write!(text, " {word} |")?,
            }
        }
        writeln!(text)?;
    }
    for (index, (client, note)) in notes.iter().enumerate() {
        writeln!(
            text,
            "{}[{}] {client}: {note}  ",
            if index == 0 { "\n" } else { "" },
            index + 1
        )?;
    }
    Ok(text)
}

/// The number of a note, the same for equal notes of a client.
fn number_of(notes: &mut Vec<(String, String)>, client: &str, note: &str) -> Option<usize> {
    if note.is_empty() {
        return None;
    }
    // A table cell's note is one line, whatever an error printed.
    let note = (
        client.to_owned(),
        note.split_whitespace().collect::<Vec<_>>().join(" "),
    );
    let known = notes.iter().position(|present| *present == note);
    Some(
        1 + known.unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        }),
    )
}
