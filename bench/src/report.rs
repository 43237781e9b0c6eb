//! The report: one page from the JSON files of the measurements, for a reader who has never seen the project; and the same
//! tables in docs/benchmarks.md.
//!
//! It measures nothing. The page stands alone: charts, tables, configurations, words; nothing is loaded from anywhere.

mod charts;
mod document;
mod page;
mod sections;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::de::DeserializeOwned;

use crate::agent::Costs;
use crate::calm::Calm;
use crate::compare::Comparison;
use crate::detection::Detection;
use crate::file::{File, Header, SCHEMA};
use crate::growth::Growth;
use crate::voip::Voip;
use crate::waterfall::Waterfall;
use crate::xdp::PerPacket;

/// One HTML page from the JSON files of the measurements, and the tables of docs/benchmarks.md; measures nothing
#[derive(Args)]
pub(crate) struct ReportArgs {
    /// JSON files of `bench` (compare, waterfall, voip, agent, growth, detection, xdp, calm), or directories of them
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The page to write
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub(crate) html: PathBuf,
    /// Also put the tables into this document, between its marks `<!-- figures: NAME -->` and `<!-- end of figures -->`
    #[arg(long, value_name = "FILE")]
    pub(crate) document: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Default)]
struct Material {
    compare: Vec<File<Comparison>>,
    waterfall: Vec<File<Waterfall>>,
    voip: Vec<File<Voip>>,
    agent: Vec<File<Costs>>,
    growth: Vec<File<Growth>>,
    detection: Vec<File<Detection>>,
    packets: Vec<File<PerPacket>>,
    calm: Vec<File<Calm>>,
}

/// Writes the report.
pub(crate) fn run(arguments: &ReportArgs) -> Result<()> {
    let material = Material::read(&arguments.files)?;
    let sections = sections::all(&material)?;
    let page = page::page(&material, &sections);
    fs::write(&arguments.html, page).with_context(|| arguments.html.display().to_string())?;
    eprintln!("{} is written: {} sections", arguments.html.display(), sections.len());
    if let Some(document) = &arguments.document {
        let changed = document::update(document, &sections)?;
        eprintln!("{}: {}", document.display(), changed.join(", "));
    }
    Ok(())
}

impl Material {
    fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut material = Self::default();
        for path in paths {
            if path.is_dir() {
                let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
                let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
                files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
                files.sort();
                ensure!(!files.is_empty(), "{}: no JSON file there", path.display());
                files.iter().try_for_each(|file| material.add(file))?;
            } else {
                material.add(path)?;
            }
        }
        Ok(material)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let what = || path.display().to_string();
        let text = fs::read(path).with_context(what)?;
        let header: Header =
            serde_json::from_slice(&text).with_context(what).context("no file of `bench --json`")?;
        ensure!(
            header.schema == SCHEMA,
            "{}: schema {}; this program reads schema {SCHEMA}",
            path.display(),
            header.schema
        );
        match header.measurement.as_str() {
            "compare" => self.compare.push(parse(&text).with_context(what)?),
            "waterfall" => self.waterfall.push(parse(&text).with_context(what)?),
            "voip" => self.voip.push(parse(&text).with_context(what)?),
            "agent" => self.agent.push(parse(&text).with_context(what)?),
            "growth" => self.growth.push(parse(&text).with_context(what)?),
            "detection" => self.detection.push(parse(&text).with_context(what)?),
            "xdp" => self.packets.push(parse(&text).with_context(what)?),
            "calm" => self.calm.push(parse(&text).with_context(what)?),
            // They have tables of their own in the documentation.
            "links" | "serial" | "voices" => eprintln!("{}: not part of the report", path.display()),
            other => bail!("{}: a measurement called {other} is not known", path.display()),
        }
        Ok(())
    }

    /// The headers of all files.
    fn headers(&self) -> Vec<&Header> {
        let mut headers: Vec<&Header> = Vec::new();
        headers.extend(self.compare.iter().map(|file| &file.header));
        headers.extend(self.waterfall.iter().map(|file| &file.header));
        headers.extend(self.voip.iter().map(|file| &file.header));
        headers.extend(self.agent.iter().map(|file| &file.header));
        headers.extend(self.growth.iter().map(|file| &file.header));
        headers.extend(self.detection.iter().map(|file| &file.header));
        headers.extend(self.packets.iter().map(|file| &file.header));
        headers.extend(self.calm.iter().map(|file| &file.header));
        headers
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    Ok(serde_json::from_slice(text)?)
}
