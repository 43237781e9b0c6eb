//! What a measurement was made on.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

/// The machine, as far as a reader of a figure wants to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// Processors that the measurement could use.
    pub(crate) processors: usize,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// Processes that wanted to run on average over the last minute, when the measurement began.
    pub(crate) load: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn this() -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let info = line("/proc/cpuinfo");
        let processor = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            processor: processor.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: line("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, processors, kernel, load } = self;
        write!(f, "{processor}, {processors} processors, Linux {kernel}, load {load} at the beginning")
    }
}
