//! One section for each measurement: what was found in a sentence, charts, tables.

mod compare;
mod cost;
mod failover;
mod quality;

use anyhow::Result;

use super::Material;
use super::table::Table;
use crate::file::{File, Header};

/// A section of the report.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// Its name in links, and in the marks of the documentation.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What a reader in a hurry should know.
    pub(super) findings: Vec<String>,
    pub(super) parts: Vec<Part>,
    /// What it was made from.
    pub(super) headers: Vec<Header>,
}

/// A part of a section.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) heading: Option<String>,
    pub(super) text: Vec<String>,
    /// SVG, and what it shows.
    pub(super) charts: Vec<(String, String)>,
    pub(super) table: Option<Table>,
    /// The table is in the documentation too.
    pub(super) documented: bool,
}

/// All that there is material for.
pub(super) fn all(material: &Material) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    let compare = "Outages: xbeat and its peers";
    sections.extend(section("compare", compare, &material.compare, compare::parts)?);
    let waterfall = "Where the time of a failover goes";
    sections.extend(section("waterfall", waterfall, &material.waterfall, failover::parts)?);
    let voip = "A telephone call through a failover";
    sections.extend(section("voip", voip, &material.voip, quality::voip)?);
    let detection = "How short may deadtime be?";
    sections.extend(section("detection", detection, &material.detection, quality::detection)?);
    let calm = "Does anybody move when nothing happens?";
    sections.extend(section("calm", calm, &material.calm, quality::calm)?);
    let agent = "What the agent costs";
    sections.extend(section("agent", agent, &material.agent, cost::agent)?);
    let growth = "How cost and takeover grow";
    sections.extend(section("growth", growth, &material.growth, cost::growth)?);
    let packets = "What the kernel program costs per packet";
    sections.extend(section("xdp", packets, &material.packets, cost::packets)?);
    Ok(sections)
}

/// What one file gives: findings and parts.
type Found = (Vec<String>, Vec<Part>);

fn section<T>(
    name: &'static str,
    title: &'static str,
    files: &[File<T>],
    parts: impl Fn(&T) -> Result<Found>,
) -> Result<Option<Section>> {
    if files.is_empty() {
        return Ok(None);
    }
    let headers = files.iter().map(|file| file.header.clone()).collect();
    let mut section = Section { name, title, findings: Vec::new(), parts: Vec::new(), headers };
    for file in files {
        let (findings, parts) = parts(&file.figures)?;
        section.findings.extend(findings);
        section.parts.extend(parts);
    }
    Ok(Some(section))
}

impl Section {
    /// Its tables, with what they were made from, for the documentation.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for Header { command, day, machine, .. } in &self.headers {
            text += &format!("`{command}`, {day}: {machine}.\n\n");
        }
        for part in self.parts.iter().filter(|part| part.documented) {
            let Some(table) = &part.table else { continue };
            if let Some(heading) = &part.heading {
                text += &format!("{heading}:\n\n");
            }
            text += &table.markdown();
            text.push('\n');
        }
        text.trim_end().to_owned() + "\n"
    }
}
