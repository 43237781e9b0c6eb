//! The table of links.

use super::table::{Cell, Table, Tone};
use super::units::{bytes, duration, percent};
use crate::status::{Datapath, Line, Link, LinkKind, Status};

pub(super) fn links(status: &Status) -> Table {
    let mut table =
        Table::new(["LINK", "DATAPATH", "NODE", "ADDRESS", "STATUS", "HEARD", "RTT", "JITTER", "LOSS"]);
    for link in &status.links {
        let name = Cell::plain(format!("{} {}", kind(link.kind), link.name));
        let path = match link.kind {
            LinkKind::Serial => Cell::dash(),
            _ => datapath(link.datapath),
        };
        if link.peers.is_empty() {
            let dash = Cell::dash;
            table.row([name, path, dash(), dash(), up(link.up), dash(), dash(), dash(), dash()]);
            notes(link, &mut table);
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
                peer.last_heard_us.map_or_else(|| Cell::plain("never"), |us| Cell::plain(duration(us))),
                peer.rtt_us.map_or_else(Cell::dash, |us| Cell::plain(duration(us))),
                peer.jitter_us.map_or_else(Cell::dash, |us| Cell::plain(duration(us))),
                Cell::plain(percent(peer.loss_ppm)),
            ]);
            lead = (Cell::plain(""), Cell::plain(""));
        }
        notes(link, &mut table);
    }
    table
}

/// What a row has no room for.
fn notes(link: &Link, table: &mut Table) {
    if let Some(line) = &link.line {
        cable(line, link.deadtime_us, table);
    }
    if let Some(group) = &link.group {
        table.note(format!("  to {group}"));
    }
    if let Some(trouble) = &link.trouble {
        table.note(format!("  {trouble}"));
    }
}

/// How fast a cable is asked, and what passed over it.
fn cable(line: &Line, deadtime_us: u64, table: &mut Table) {
    let times = if line.opened == 1 { "once" } else { &format!("{} times", line.opened) };
    let (every, silent) = (duration(line.keepalive_us), duration(deadtime_us));
    table.note(format!("  {} baud, asked every {every}, silent after {silent}; opened {times}", line.baud));
    table.note(format!(
        "  in {} frames, {}, {} broken; out {} frames, {}, {} dropped",
        line.frames_in,
        bytes(line.bytes_in),
        line.garbage,
        line.frames_out,
        bytes(line.bytes_out),
        line.dropped,
    ));
    line.refused.iter().for_each(|refused| table.note(format!("  {refused}")));
}

fn kind(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Ucast => "ucast",
        LinkKind::Bcast => "bcast",
        LinkKind::Mcast => "mcast",
        LinkKind::Ucast6 => "ucast6",
        LinkKind::Mcast6 => "mcast6",
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

/// Why its datapath is not a better one. Of a cable, which has none, it was said above why it is down.
pub(super) fn reason(link: &Link) -> Option<String> {
    if link.line.is_some() {
        return None;
    }
    Some(format!("{}: {}", link.name, link.why.as_ref()?))
}
