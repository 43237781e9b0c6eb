//! The page that `xbeat status` shows on a terminal: the essential in one sentence, then what is wrong, then tables.

use super::{Fence, Group, GroupState, Node, NodeStatus, PingStatus, Scheduling, State, Status};

mod links;
mod table;
mod units;

use links::{links, reason};
use table::{Cell, Table, Tone, wrapped};
use units::duration;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With ANSI colours.
    Colour,
}

/// Columns that prose is wrapped to. Tables are as wide as their content.
const WIDTH: usize = 80;

/// The page for a person. Ends with a line feed.
#[must_use]
pub fn render(status: &Status, style: Style) -> String {
    let problems = status.problems();
    let tone = if problems.is_empty() { Tone::Good } else { Tone::Bad };
    let mut page = Cell::toned(essence(status), tone).draw(style) + "\n";
    if !status.unheard.is_empty() {
        let text = format!(
            "{} may not be alone: {} may serve, too, behind a broken network.",
            status.node,
            status.unheard.join(", ")
        );
        page += &Cell::toned(wrapped(&text, WIDTH, "  ").trim_end(), Tone::Bad).draw(style);
        page += "\n";
    }
    section(&mut page, "wrong:", &problems, Tone::Bad, style);
    if !status.groups.is_empty() {
        page += "\n";
        page += &groups(status).draw(style);
    }
    page += "\n";
    page += &nodes(status).draw(style);
    if !status.links.is_empty() {
        page += "\n";
        page += &links(status).draw(style);
    }
    if !status.pings.is_empty() {
        page += "\n";
        page += &pings(status).draw(style);
    }
    let networks: Vec<String> =
        status.networks.iter().map(|network| format!("{}: {}", network.interface, network.text)).collect();
    section(&mut page, "who is reached on the addresses' networks:", &networks, Tone::Dim, style);
    let reasons: Vec<String> = status.links.iter().filter_map(reason).collect();
    section(&mut page, "datapath:", &reasons, Tone::Dim, style);
    page += "\n";
    page += &footer(status);
    section(&mut page, "lost:", &status.lost, Tone::Warn, style);
    section(&mut page, "warnings:", &status.warnings, Tone::Warn, style);
    page
}

/// `server1 is active and serves 1 of 1 groups; server2 is up.`
fn essence(status: &Status) -> String {
    let own = status.groups.iter().filter(|group| group.open && group.owner.as_ref() == Some(&status.node));
    let serves = match status.groups.len() {
        0 => "has no groups to serve".to_owned(),
        all => format!("serves {} of {all} groups", own.count()),
    };
    let mut text = format!("{} is {} and {serves}", status.node, state_word(status.state));
    let others: Vec<&Node> = status.nodes.iter().filter(|node| !node.own).collect();
    let well = others.iter().filter(|node| is_well(node)).count();
    // Up to three nodes are named each; of more, only those that are not well.
    if others.len() > 3 {
        text += &format!("; {well} of {} other nodes are up", others.len());
    }
    for node in others.iter().filter(|node| others.len() <= 3 || !is_well(node)) {
        text += &format!("; {} {}", node.name, phrase(node.status));
    }
    text + "."
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Active => "active",
        State::Stopping => "stopping",
    }
}

fn is_well(node: &Node) -> bool {
    matches!(node.status, NodeStatus::Up | NodeStatus::Active)
}

fn phrase(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Init => "was not heard yet",
        NodeStatus::Up => "is up",
        NodeStatus::Active => "is active",
        NodeStatus::Dead => "is dead",
        NodeStatus::Refused => "is refused",
    }
}

fn groups(status: &Status) -> Table {
    let mut table = Table::new(["GROUP", "HOME", "OWNER", "HERE", "GATE", "EPOCH", "HEIR"]);
    for group in &status.groups {
        let owner = match &group.owner {
            Some(name) => Cell::plain(name),
            None => Cell::toned("nobody", Tone::Bad),
        };
        table.row([
            Cell::plain(&group.key),
            Cell::plain(&group.home),
            owner,
            group_state(group.state),
            gate(group),
            Cell::plain(group.epoch),
            heir(group),
        ]);
        for vip in &group.vips {
            let on = vip.label.as_deref().or(vip.interface.as_deref()).unwrap_or("no interface yet");
            let up = if vip.up { "up" } else { "not up" };
            table.note(format!("  {} on {on}, {up} here", vip.address));
        }
    }
    table
}

fn group_state(state: GroupState) -> Cell {
    match state {
        GroupState::Stopped => Cell::plain("stopped"),
        GroupState::Starting => Cell::toned("starting", Tone::Warn),
        GroupState::Started => Cell::toned("started", Tone::Good),
        GroupState::Stopping => Cell::toned("stopping", Tone::Warn),
        GroupState::Failed => Cell::toned("failed", Tone::Bad),
    }
}

fn gate(group: &Group) -> Cell {
    if group.open {
        return Cell::toned("open", Tone::Good);
    }
    match group.fenced {
        None => Cell::plain("closed"),
        Some(Fence::Lease) => Cell::toned("fenced: lease", Tone::Warn),
        Some(Fence::Exit) => Cell::toned("fenced: exit", Tone::Warn),
        Some(Fence::HigherEpoch) => Cell::toned("fenced: epoch", Tone::Warn),
        Some(Fence::Operator) => Cell::plain("handed over"),
    }
}

fn heir(group: &Group) -> Cell {
    match (&group.heir, group.armed) {
        (Some(name), true) => Cell::plain(format!("{name} (armed)")),
        (Some(name), false) => Cell::plain(name),
        (None, _) => Cell::dash(),
    }
}

fn nodes(status: &Status) -> Table {
    let mut table = Table::new(["NODE", "STATUS", "LAST HEARD", "CONFIG", "HEARS US"]);
    for node in &status.nodes {
        let word = match node.status {
            NodeStatus::Init => Cell::toned("init", Tone::Warn),
            NodeStatus::Up => Cell::toned("up", Tone::Good),
            NodeStatus::Active => Cell::toned("active", Tone::Good),
            NodeStatus::Dead => Cell::toned("dead", Tone::Bad),
            NodeStatus::Refused => Cell::toned("refused", Tone::Bad),
        };
        // What a node that was never heard thinks of us is not known.
        let known = !node.own && node.session.is_some();
        let told = |fine: bool, yes: &str, no: &str| match (known, fine) {
            (false, _) => Cell::dash(),
            (true, true) => Cell::plain(yes),
            (true, false) => Cell::toned(no, Tone::Bad),
        };
        let heard = if node.own { Cell::plain("this node") } else { ago(node.last_heard_us) };
        table.row([
            Cell::plain(&node.name),
            word,
            heard,
            told(node.config_matches, "same", "other"),
            told(node.hears_us, "yes", "no"),
        ]);
        if let Some(note) = &node.note {
            table.note(format!("  {note}"));
        }
    }
    table
}

fn pings(status: &Status) -> Table {
    let mut table = Table::new(["PING NODE", "STATUS", "HOST", "HEARD", "RTT", "ANSWERED"]);
    for ping in &status.pings {
        let word = match ping.status {
            PingStatus::Init => Cell::toned("init", Tone::Warn),
            PingStatus::Ping => Cell::toned("ping", Tone::Good),
            PingStatus::Dead => Cell::toned("dead", Tone::Bad),
        };
        let mut lead = (Cell::plain(&ping.name), word);
        for host in &ping.hosts {
            table.row([
                lead.0,
                lead.1,
                Cell::plain(&host.address),
                ago(host.last_heard_us),
                host.rtt_us.map_or_else(Cell::dash, |us| Cell::plain(duration(us))),
                Cell::plain(format!("{} of {}", host.answered, host.sent)),
            ]);
            lead = (Cell::plain(""), Cell::plain(""));
        }
    }
    let counts = if status.ipfail {
        "  the node that sees more of them serves (ipfail)"
    } else {
        "  shown only: without a `respawn USER /PATH/ipfail` line they move nothing"
    };
    table.note(counts.to_owned());
    table
}

fn footer(status: &Status) -> String {
    let lease = &status.lease;
    let valid = if lease.valid { "valid" } else { "RUN OUT" };
    let class = |scheduling| match scheduling {
        Scheduling::Deadline => "deadline",
        Scheduling::Fifo => "fifo",
        Scheduling::Normal => "normal",
    };
    let memory = if status.realtime.memory_locked { "locked" } else { "not locked" };
    let times = format!(
        "keepalive {}, deadtime {}; lease {} ({valid}, renewed {} ago)",
        duration(status.keepalive_us),
        duration(status.deadtime_us),
        duration(lease.length_us),
        duration(lease.age_us),
    );
    let mut scheduling = format!(
        "probes {}, loop {}, memory {memory}",
        class(status.realtime.probe),
        class(status.realtime.decision_loop),
    );
    let turns = &status.turns;
    if !turns.longest_of.is_empty() {
        let (longest, latest) = (duration(turns.longest_us), duration(turns.latest_us));
        scheduling += &format!("; longest turn {longest} ({}), at most {latest} late", turns.longest_of);
    }
    for gate in &status.egress {
        scheduling += &format!("; egress {} {}", gate.interface, gate.how.as_deref().unwrap_or("OPEN"));
    }
    let version = format!(
        "xbeat {}, {} for {}; configuration {}",
        status.version,
        state_word(status.state),
        duration(status.since_ms.saturating_mul(1000)),
        status.config_digest,
    );
    let mut text: String =
        [times, scheduling, version].iter().map(|line| wrapped(line, WIDTH, "  ")).collect();
    let counted: Vec<String> = (status.counters.iter())
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if !counted.is_empty() {
        text += &wrapped(&format!("counters: {}", counted.join(", ")), WIDTH, "  ");
    }
    text
}

fn section(page: &mut String, title: &str, lines: &[String], tone: Tone, style: Style) {
    if lines.is_empty() {
        return;
    }
    *page += "\n";
    *page += &Cell::toned(title, tone).draw(style);
    *page += "\n";
    for line in lines {
        *page += &wrapped(&format!("  {line}"), WIDTH, "    ");
    }
}

fn ago(us: Option<u64>) -> Cell {
    us.map_or_else(|| Cell::plain("never"), |us| Cell::plain(format!("{} ago", duration(us))))
}
