//! Looks after a group that is up: a resource that died is started again in place, and if that does not help the group is
//! reported, so that it can move.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::group::{Addresses, Group, Limits, is_running, restart_from};
use super::script::Scripts;

/// A resource that was started again has to hold for that many of its intervals. If it does not, starting it again does
/// not help.
const HOLDS: u32 = 10;

/// One monitored resource.
struct Watched {
    every: Duration,
    due: Instant,
    /// It was seen running. Before that its status proves nothing: there are scripts that print nothing.
    seen: bool,
    /// Asked so often without being seen.
    unseen: u32,
    restarted: Option<Instant>,
}

/// Asks the group's monitored resources for their status, each at its interval, for ever. `report` hears of an error that
/// a restart did not mend, every time that it is tried again, and `Ok` when all runs again after that.
///
/// May be cancelled: a running script is killed; a resource that was just being restarted is then up or down.
pub async fn watch_group<A: Addresses>(
    scripts: &Scripts,
    addresses: &mut A,
    group: &Group,
    limits: &Limits,
    mut report: impl FnMut(Result<(), String>),
) {
    let now = Instant::now();
    let mut watched: BTreeMap<usize, Watched> = group
        .monitors
        .iter()
        .map(|(&index, &every)| {
            (index, Watched { every, due: now + every, seen: false, unseen: 0, restarted: None })
        })
        .collect();
    let mut broken = None;
    loop {
        let Some((&index, next)) = watched.iter().min_by_key(|(_, watched)| watched.due) else {
            return std::future::pending().await;
        };
        sleep_until(next.due).await;
        let runs = is_running(scripts, addresses, group, limits, index).await;
        let now = Instant::now();
        let Some(next) = watched.get_mut(&index) else { continue };
        next.due = now + next.every;
        let name = group.resources[index].spec();
        if runs {
            next.seen = true;
            if broken == Some(index) {
                tracing::info!("{name} runs again");
                broken = None;
                report(Ok(()));
            }
            continue;
        }
        if !next.seen {
            next.unseen = next.unseen.saturating_add(1);
            if next.unseen == 3 {
                tracing::warn!(
                    "{name} is up, but its status never says so: it is not monitored until it does"
                );
            }
            continue;
        }
        let lately = next.restarted.is_some_and(|at| now < at + next.every * HOLDS);
        next.restarted = Some(now);
        tracing::error!("{name} has stopped running");
        if lately {
            broken = Some(index);
            report(Err(format!("{name} has stopped running again, soon after it was started again")));
        }
        tracing::warn!("starting {name} again, and what stands behind it");
        let again = restart_from(scripts, addresses, group, limits, index).await;
        if let Err(what) = again {
            tracing::error!("{what}");
            broken = Some(index);
            report(Err(what));
        }
        // What stands behind it was down meanwhile.
        let now = Instant::now();
        watched.range_mut(index..).for_each(|(_, watched)| watched.due = now + watched.every);
    }
}
