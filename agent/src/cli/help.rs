//! What `--help` says below the options: examples and exit codes.

pub(super) const PROGRAM: &str = "\
Examples:
  xbeat check                  is /etc/ha.d sound?
  xbeat run                    the agent, as systemd starts it
  xbeat status                 who serves what
  xbeat standby                hand everything over, before working on this machine
  xbeat takeover local         fetch back what is at home here
  xbeat reload                 changed files, without a restart
  xbeat upgrade                a new version is installed: what would a restart be?
  xbeat confirm server1        it is off, although STONITH could not see to it
  xbeat probe 192.0.2.100      how long is the address away? From a client; any system

Exit codes:
  0  done; for status: running and healthy
  1  not done, or a negative answer; the reason is on stderr
  2  wrong words on the command line
  3  the agent is not running; for probe: the target never answered
  6  the configuration has errors

`xbeat COMMAND --help` tells more about each command.";

pub(super) const RUN: &str = "\
SIGTERM and SIGINT end the agent gracefully: it hands over what it holds first. SIGHUP makes it read its
files anew.
It logs to stderr, and to where ha.cf says; systemd is told when it is ready.

Examples:
  xbeat run
  xbeat run --config-dir ./ha.d --run-dir /tmp/x --state-dir /tmp/x --node server1

Exit codes:
  0  it ended gracefully
  1  it could not run; the reason is on stderr
  2  wrong words on the command line
  6  the configuration has errors: see `xbeat check`";

pub(super) const CHECK: &str = "\
Reads ha.cf, haresources and authkeys and lists every error at once, with file, line, column, what
was found and what would be right. Warnings are listed too, and are no errors.

Examples:
  xbeat check
  xbeat check --config-dir ./ha.d --node server2

Exit codes:
  0  valid
  2  wrong words on the command line
  6  there are errors; they are on stderr";

pub(super) const STATUS: &str = "\
Examples:
  xbeat status
  xbeat status --json | jq -r '.groups[] | .key + \" \" + .owner'
  until xbeat status >/dev/null; do sleep 1; done      wait until all is well

Exit codes:
  0  the agent runs and all is well
  1  it runs, but something is wrong (a group without owner, a node dead, refused or with another
     configuration, a link down), it is starting or stopping, or it does not answer
  2  wrong words on the command line
  3  it is not running";

pub(super) const STANDBY: &str = "\
Returns when the other nodes hold the groups. The agent goes on running, and takes the groups again
if their new owner dies.

Examples:
  xbeat standby                        everything
  xbeat standby foreign                what is at home elsewhere
  xbeat standby IPaddr::192.0.2.100    one group

Exit codes:
  0  done
  1  not done; the reason is on stderr. After a time-out the agent may still be at it
  2  wrong words on the command line
  3  the agent is not running";

pub(super) const TAKEOVER: &str = "\
Returns when this node holds the groups.

Examples:
  xbeat takeover                       everything
  xbeat takeover local                 what is at home here
  xbeat takeover IPaddr::192.0.2.100   one group

Exit codes:
  0  done
  1  not done; the reason is on stderr. After a time-out the agent may still be at it
  2  wrong words on the command line
  3  the agent is not running";

pub(super) const RELOAD: &str = "\
Does what SIGHUP does, and prints what changed. All or nothing: where the files have an error, or change
something that takes a restart, they are refused and nothing changes.

Examples:
  xbeat check && xbeat reload
  xbeat reload && xbeat status         \"the files on disk are not in force\" where they were refused

Exit codes:
  0  the files are in force
  1  refused, nothing changed; the reason is on stderr
  2  wrong words on the command line
  3  the agent is not running";

pub(super) const CONFIRM: &str = "\
Where `stonith_host` names a device that resets a node, and that node falls silent while it holds a group,
what is more than an address starts here only when it was reset. If the device is broken, somebody has to look.

Say it only of a node that is off, or runs nothing any more: a file system that is mounted twice is lost.

Examples:
  xbeat status; xbeat confirm server1

Exit codes:
  0  taken for down, until it is heard again
  1  it is heard, or is no other node; the reason is on stderr
  2  wrong words on the command line
  3  the agent is not running";

pub(super) const STOP: &str = "\
Hands the groups over, stops their resources and ends the agent. When this returns, the run directory
is free for the next agent.

Examples:
  xbeat stop
  xbeat stop --timeout 600             resources that stop slowly

Exit codes:
  0  the agent ended
  1  not done; the reason is on stderr. After a time-out the agent may still be at it
  2  wrong words on the command line
  3  no agent was running";

pub(super) const UPGRADE: &str = "\
Called with the new binary while the agent of before still runs; the package does it. COMMAND restarts the
agent as its service manager does. If this version understands the tables of the running one, the restart is
one that nobody notices. If not, the groups are handed over first; and where no other node could take them,
it says that the addresses will be away until the new agent has waited for the others.
Files that this version refuses, or that name other nodes or groups than the running agent has, are no
upgrade: then nothing is touched.

Examples:
  xbeat upgrade -- systemctl restart xbeat
  xbeat upgrade                        says what a restart would be, and hands over if need be

Exit codes:
  0  done; without COMMAND: the agent may be restarted now
  1  not done: the agent of before runs, or none; the reason is on stderr
  2  wrong words on the command line
  3  no agent is running
  6  the configuration has errors: see `xbeat check`";

pub(super) const REPLAY: &str = "\
The election reads no clock and draws no luck: the same inputs give the same decisions, on any machine.
Shows every input with its time since the recording began, in ms, what was ordered (->) and noted (=).

Examples:
  xbeat run --record /var/tmp/xbeat.jsonl
  xbeat replay /var/tmp/xbeat.jsonl

Exit codes:
  0  replayed to the end
  1  it cannot be read, or is no recording; the reason is on stderr
  2  wrong words on the command line";

pub(super) const PROBE: &str = "\
Asks again and again, notes who answers, and tells every outage: from the last answered request
before it to the first one after it, with the hardware address before and after. Runs on a client
and knows nothing of who keeps the address: xbeat, keepalived, a pair of routers.
How it goes is on stderr, the result on stdout. Ctrl-C ends it with the result, a second one at
once.

Examples:
  xbeat probe 192.0.2.100                        pings, 1000 a second, until Ctrl-C
  xbeat probe 192.0.2.100 --arp --interface eth0 by ARP: who answers, and do two?
  xbeat probe vip.example --udp 7 --rate 10k     a UDP echo service, 10,000 a second
  xbeat probe 192.0.2.100 --duration 1m --max-outage 50ms --quiet && echo good
  xbeat probe 192.0.2.100 --count 60000 --json | jq '.outages[].length_ns'

Exit codes:
  0  it was measured
  1  with --max-outage: an outage was longer, or two answered one request
  2  wrong words on the command line, or it cannot begin (no such name, no route, not permitted)
  3  the target never answered";
