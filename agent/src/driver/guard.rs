//! What stands between the addresses and their networks: programs on the interfaces, and who watches where there are none.

use std::rc::Rc;
use std::sync::Arc;

use anyhow::Result;
use cluster::GroupId;

use super::base::Base;
use super::setup;
use crate::config::Config;
use crate::datapath::Mode;
use crate::datapath::interfaces::{self, EgressGate, Interface};
use crate::datapath::netlink::Netlink;
use crate::datapath::plain::{Plain, Watch};
use crate::datapath::vips::{Entry, Entry6, Gates, Vips};
use crate::links::{Findings, Link};

/// All of it, attached and running.
pub(super) struct Guard {
    pub(super) vips: Vips,
    pub(super) interfaces: Vec<Interface>,
    pub(super) egress: Vec<EgressGate>,
    pub(super) plain: Plain,
    /// By group: whether its leading addresses may be up while its gate is shut.
    pub(super) hands_over: Vec<bool>,
    /// The groups that an earlier agent has left open.
    pub(super) open: Vec<GroupId>,
}

impl Guard {
    /// Attaches the programs, first to what comes in, and takes over or removes what an earlier life left on the interfaces.
    pub(super) async fn attach(
        config: &Config,
        base: &mut Base,
        netlink: &Rc<Netlink>,
        links: &[Arc<Link>],
        (entries, six): (Vec<Entry>, Vec<Entry6>),
        findings: &Findings,
    ) -> Result<Self> {
        let wanted = setup::interfaces(links, &entries, &six);
        let gates = Gates { orders: Arc::clone(&base.orders), facts: Arc::clone(&base.facts) };
        // Before any program of ours is attached: one that does not know an address leaves it to the stack, and an earlier
        // life may have left it on the interface (R7).
        let opened = base.opened.take();
        let vips = Vips::new(Rc::clone(netlink), Rc::clone(&base.kernel), gates, (entries, six), opened);
        let attach_one = |(index, (name, has_link)): (u32, (String, bool))| {
            let attached = interfaces::attach(&base.kernel, config.xdp, (index, &name), has_link);
            base.cover();
            attached
        };
        let interfaces: Vec<Interface> = wanted.into_iter().map(attach_one).collect();
        let egress = interfaces::attach_egress(&base.kernel, &vips, config.egress);
        base.lost.extend(egress.iter().filter_map(EgressGate::loss));
        base.lost.iter().for_each(|lost| tracing::warn!("{lost}"));
        if let Some(kernel) = base.kernel.borrow_mut().as_mut() {
            kernel.drop_unused_links();
        }
        let hands_over = setup::hands_over(config, &vips, &interfaces, &egress);
        base.cover();
        let plain = watch_the_rest(base, &interfaces, links, findings)?;
        let open = base.open(config);
        vips.adopt(&open).await;
        for interface in interfaces.iter().filter(|interface| interface.tested) {
            vips.set_bounce(interface.index, true);
        }
        Ok(Self { vips, interfaces, egress, plain, hands_over, open })
    }
}

/// A thread hears what comes by the interfaces that have no program; without any kernel program it watches for silence, too.
fn watch_the_rest(
    base: &Base,
    interfaces: &[Interface],
    links: &[Arc<Link>],
    findings: &Findings,
) -> Result<Plain> {
    let in_agent = |link: &&Arc<Link>| {
        let of_link = |interface: &&Interface| Some(interface.index) == link.ifindex;
        interfaces.iter().filter(of_link).any(|interface| interface.mode == Mode::None)
    };
    let links = links.iter().filter(in_agent).cloned().collect();
    let watch = if base.without_kernel.is_some() { Watch::Here } else { Watch::Kernel };
    let (orders, facts) = (Arc::clone(&base.orders), Arc::clone(&base.facts));
    Ok(Plain::start(orders, facts, links, watch, findings.clone())?)
}
