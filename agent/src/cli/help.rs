//! What `--help` says below the options: examples and exit codes.

pub(super) const PROGRAM: &str = "\
Examples:
  xbeat check                  is /etc/ha.d sound?
  xbeat run                    the agent, as systemd starts it
  xbeat status                 who serves what
  xbeat standby                hand everything over, before working on this machine
  xbeat takeover local         fetch back what is at home here

Exit codes:
  0  done; for status: running and healthy
  1  not done, or a negative answer; the reason is on stderr
  2  wrong words on the command line
  3  the agent is not running
  6  the configuration has errors

`xbeat COMMAND --help` tells more about each command.";

pub(super) const RUN: &str = "\
SIGTERM and SIGINT end the agent gracefully: it hands over what it holds first.
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
