//! haresources: one logical line is one resource group, its home node first.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::diagnostic::{Diagnostic, Severity, Source, quoted};
use super::resource::Resource;
use super::scanner::{self, Place, Word};

/// Resources that are taken, moved and given up together, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceGroup {
    /// Index of the node that the group prefers.
    pub home: usize,
    /// At least one; started from the first, stopped from the last.
    pub resources: Vec<Resource>,
}

impl ResourceGroup {
    /// What the group is called: its first resource, as written. Unique among the groups.
    pub fn key(&self) -> &str {
        self.resources.first().map_or("", Resource::word)
    }
}

/// Reads the file. `nodes` are the configured ones; where none are known, none is missed.
pub(super) fn parse(
    source: &Source,
    bytes: &[u8],
    nodes: &[String],
) -> (Vec<ResourceGroup>, Vec<Diagnostic>) {
    let mut reader =
        Reader { source, nodes, groups: Vec::new(), diagnostics: Vec::new(), seen: Seen::default() };
    for words in scanner::continued_lines(bytes) {
        reader.group(&words);
    }
    if reader.groups.is_empty() && reader.diagnostics.is_empty() {
        let message = "no resource group: there is nothing to serve";
        reader.diagnostics.push(Diagnostic::of_file(Severity::Warning, &source.path, message, ""));
    }
    (reader.groups, reader.diagnostics)
}

struct Reader<'a> {
    source: &'a Source,
    nodes: &'a [String],
    groups: Vec<ResourceGroup>,
    diagnostics: Vec<Diagnostic>,
    seen: Seen,
}

/// What may stand in the file once.
#[derive(Default)]
struct Seen {
    keys: Vec<(Resource, Place)>,
    addresses: BTreeMap<IpAddr, Place>,
}

impl Reader<'_> {
    fn group(&mut self, words: &[Word]) {
        let Some((node, words)) = words.split_first() else { return };
        let home = self.home(node);
        let Some((first, _)) = words.split_first() else {
            let message = format!("{} has no resource here: the line is ignored", quoted(&node.text));
            let warning = self.source.diagnostic(Severity::Warning, node.place, message, "");
            return self.diagnostics.push(warning);
        };
        let mut resources = Vec::new();
        let mut is_key_repeated = false;
        for word in words {
            let Some(resource) = self.resource(word) else { continue };
            if std::ptr::eq(word, first) {
                is_key_repeated = self.is_key_repeated(&resource, word);
            }
            // A repeated key that is an address was complained of already.
            if !is_key_repeated {
                self.check_address(&resource, word);
            }
            resources.push(resource);
        }
        if let Some(home) = home.filter(|_| !resources.is_empty()) {
            self.groups.push(ResourceGroup { home, resources });
        }
    }

    fn home(&mut self, node: &Word) -> Option<usize> {
        let name = node.text.to_ascii_lowercase();
        let home = self.nodes.iter().position(|other| *other == name);
        if home.is_none() && !self.nodes.is_empty() {
            let known: Vec<String> = self.nodes.iter().map(|node| quoted(node)).collect();
            let expected =
                format!("the home node of a group: {} (`node` lines of ha.cf)", known.join(" or "));
            self.error(node.place, quoted(&node.text), expected);
        }
        home
    }

    fn resource(&mut self, word: &Word) -> Option<Resource> {
        if !word.is_clean {
            self.error(word.place, quoted(&word.text), "text in UTF-8 without control characters");
            return None;
        }
        match word.text.parse::<Resource>() {
            Ok(resource) => Some(resource),
            Err(bad) => {
                self.error(word.place_within(bad.offset), bad.found, bad.expected);
                None
            }
        }
    }

    fn is_key_repeated(&mut self, resource: &Resource, word: &Word) -> bool {
        let first = self.seen.keys.iter().find(|(key, _)| key.is_same(resource)).map(|(_, place)| place.line);
        if let Some(line) = first {
            let expected = format!("a first resource that begins no other group; line {line} begins with it");
            self.error(word.place, quoted(&word.text), expected);
            return true;
        }
        self.seen.keys.push((resource.clone(), word.place));
        false
    }

    /// An address in two groups would be served by two nodes.
    fn check_address(&mut self, resource: &Resource, word: &Word) {
        let four = resource.vip().map(|vip| IpAddr::from(vip.address));
        let six = resource.vip6().map(|vip| IpAddr::from(vip.address));
        let Some(address) = four.or(six) else { return };
        if let Some(first) = self.seen.addresses.get(&address) {
            let expected = format!("each address once; it stands in line {} already", first.line);
            return self.error(word.place, quoted(&word.text), expected);
        }
        self.seen.addresses.insert(address, word.place);
    }

    fn error(&mut self, place: Place, found: impl Into<String>, expected: impl Into<String>) {
        self.diagnostics.push(self.source.diagnostic(Severity::Error, place, found, expected));
    }
}
