#!/bin/sh
# A resource script: called with start, stop or status as its last argument, by root, also several times in a row.
#   start   after the address is up here; exit 0 if the service runs
#   stop    before the address goes; exit 0 also if the service did not run
#   status  prints `running` or `not running`: the text counts, not the exit code
# This one only notes that this node is the active one.

active=/run/failback.active

case "$1" in
start)
    date > "$active"
    logger -t failback "this node is active" || true
    ;;
stop)
    rm -f "$active"
    logger -t failback "this node is idle" || true
    ;;
status)
    if [ -e "$active" ]; then echo running; else echo "not running"; fi
    ;;
*)
    echo "usage: $0 start|stop|status" >&2
    exit 2
    ;;
esac
