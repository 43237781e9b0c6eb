//! The page that `xbeat status` shows on a terminal: the essential in one sentence, then what is wrong, then tables.

use super::{
    Datapath, Fence, Group, GroupState, Link, LinkKind, Node, NodeStatus, Scheduling, State, Status,
};

mod table;

use table::{Cell, Table, Tone, wrapped};

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

fn links(status: &Status) -> Table {
    let mut table = Table::new(["LINK", "DATAPATH", "NODE", "ADDRESS", "STATUS", "HEARD", "RTT", "LOSS"]);
    for link in &status.links {
        let name = Cell::plain(format!("{} {}", kind(link.kind), link.name));
        let path = match link.kind {
            LinkKind::Serial => Cell::dash(),
            LinkKind::Ucast | LinkKind::Bcast | LinkKind::Mcast => datapath(link.datapath),
        };
        if link.peers.is_empty() {
            let dash = Cell::dash;
            table.row([name, path, dash(), dash(), up(link.up), dash(), dash(), dash()]);
            continue;
        }
        let mut lead = (name, path);
        for peer in &link.peers {
            table.row([
                lead.0,
                lead.1,
                Cell::plain(&peer.node),
                peer.address.as_ref().map_or_else(Cell::dash, Cell::plain),
                up(link.up && peer.up),
                ago(peer.last_heard_us),
                peer.rtt_us.map_or_else(Cell::dash, |us| Cell::plain(duration(us))),
                Cell::plain(percent(peer.loss_ppm)),
            ]);
            lead = (Cell::plain(""), Cell::plain(""));
        }
    }
    table
}

fn kind(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Ucast => "ucast",
        LinkKind::Bcast => "bcast",
        LinkKind::Mcast => "mcast",
        LinkKind::Serial => "serial",
    }
}

fn datapath(path: Datapath) -> Cell {
    match path {
        Datapath::Native => Cell::toned("native", Tone::Good),
        Datapath::Generic => Cell::plain("generic"),
        Datapath::Tc => Cell::plain("tc"),
        Datapath::None => Cell::toned("none", Tone::Warn),
    }
}

fn up(up: bool) -> Cell {
    if up { Cell::toned("up", Tone::Good) } else { Cell::toned("dead", Tone::Bad) }
}

fn reason(link: &Link) -> Option<String> {
    Some(format!("{}: {}", link.name, link.why.as_ref()?))
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
    let scheduling = format!(
        "probes {}, loop {}, memory {memory}",
        class(status.realtime.probe),
        class(status.realtime.decision_loop),
    );
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

/// Two or three digits and a unit: `12 us`, `3.0 ms`, `1.5 s`, `3 min`, `5 h`, `2 d`.
fn duration(us: u64) -> String {
    const MS: u64 = 1_000;
    const S: u64 = 1_000 * MS;
    const MIN: u64 = 60 * S;
    const H: u64 = 60 * MIN;
    let tenths = |unit: u64| match us % unit {
        0 => (us / unit).to_string(),
        rest => format!("{}.{}", us / unit, rest * 10 / unit),
    };
    match us {
        0..MS => format!("{us} us"),
        MS..10_000 => format!("{} ms", tenths(MS)),
        10_000..S => format!("{} ms", us / MS),
        S..MIN => format!("{} s", tenths(S)),
        MIN..H => format!("{} min", us / MIN),
        H..172_800_000_000 => format!("{} h", us / H),
        _ => format!("{} d", us / (24 * H)),
    }
}

/// `0 %`, `0.02 %`, `12 %`, `100 %`; any loss at all shows as more than 0.
fn percent(ppm: u64) -> String {
    match ppm {
        0 => "0 %".to_owned(),
        1..100 => "<0.01 %".to_owned(),
        100..100_000 => format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100),
        _ => format!("{} %", ppm / 10_000),
    }
}
