//! Third voices: what can be known from outside of the cluster of who reaches whom.
//!
//! ```text
//!   ping nodes        icmp <- pings <- pinger (task)        hosts of ha.cf, asked all the time
//!   the free voice    doubt <- free <- asker, neighbours    the VIP's own network, asked in doubt
//! ```
//!
//! Both end in one [`Sight`] per group, which goes to the election and into every frame. Here nothing is decided.

pub mod asker;
pub mod doubt;
pub mod free;
pub mod neighbours;
mod pinger;
pub mod pings;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use reflex::{Facts, Orders, Sight};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use self::doubt::Ground;
use self::free::Free;
use self::neighbours::Known;
use self::pings::{Pings, Times};
use crate::config::{Config, Respawn};
use crate::sys::{Table, clock};

/// All third voices of this node.
pub struct Voices {
    /// The ping nodes.
    pub pings: Rc<RefCell<Pings>>,
    /// The node that sees more ping nodes serves; else they are only shown.
    pub is_ipfail: bool,
    /// The networks of the VIPs.
    pub free: Free,
    /// Rung when the ping nodes are to be asked at another pace.
    pace: Rc<Notify>,
    told: Vec<Sight>,
    tasks: Vec<JoinHandle<()>>,
}

impl Voices {
    /// Begins to ask the ping nodes and to remember who is on the networks of `grounds`. The queue gets a word whenever
    /// [`Self::look`] has something to find.
    ///
    /// # Errors
    /// When there is no randomness, or no netlink socket.
    pub async fn start(
        config: &Config,
        orders: &Arc<Table<Orders>>,
        facts: &Arc<Table<Facts>>,
        grounds: Vec<Ground>,
        own: neighbours::Own,
    ) -> Result<(Self, mpsc::UnboundedReceiver<()>)> {
        let ident = getrandom::u32().context("no randomness for echo requests")? as u16;
        let pings = Rc::new(RefCell::new(Pings::new(config, ident, clock::now())));
        let is_ipfail = config.respawn.iter().any(Respawn::is_ipfail);
        let (changed, queue) = mpsc::unbounded_channel();
        let pace = Rc::new(Notify::new());
        let mut tasks = Vec::new();
        if !config.pings.is_empty() {
            tasks.push(tokio::task::spawn_local(pinger::run(
                Rc::clone(&pings),
                is_ipfail,
                Rc::clone(&pace),
                changed,
            )));
        }
        let known = Rc::new(RefCell::new(Known::default()));
        let free = Free::new(Arc::clone(orders), Arc::clone(facts), grounds, &own, Rc::clone(&known)).await;
        if free.has_ground() {
            let (orders, facts) = (Arc::clone(orders), Arc::clone(facts));
            tasks.push(tokio::task::spawn_local(neighbours::remember(known, orders, facts, own)?));
        }
        let told = vec![Sight::default(); config.groups.len()];
        Ok((Self { pings, is_ipfail, free, pace, told, tasks }, queue))
    }

    /// Looks at the networks in doubt and at the ping nodes; what is seen of each group, if that is new.
    pub fn look(&mut self, now: u64) -> Vec<(u32, Sight)> {
        self.free.look(now);
        let pings = if self.is_ipfail { self.pings.borrow().answering() } else { None };
        let mut news = Vec::new();
        for (group, told) in (0u32..).zip(&mut self.told) {
            let sight = self.free.sight(group).pinging(pings);
            if std::mem::replace(told, sight) != sight {
                news.push((group, sight));
            }
        }
        news
    }

    /// The files were read anew: ping nodes are asked, and found dead, by these times.
    pub fn set_times(&mut self, config: &Config) {
        self.pings.borrow_mut().set_times(Times::of(config), clock::now());
        self.pace.notify_one();
    }

    /// What the election was last told of a group.
    #[must_use]
    pub fn sight(&self, group: u32) -> Sight {
        self.told.get(group as usize).copied().unwrap_or_default()
    }

    /// When [`Self::look`] should be called at the latest.
    #[must_use]
    pub fn due(&self, now: u64) -> Option<u64> {
        self.free.due(now)
    }
}

impl Drop for Voices {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
