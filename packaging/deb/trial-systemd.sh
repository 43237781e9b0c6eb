#!/bin/bash
# Tries the installed service under a real systemd: restart, reload, upgrade, a stuck agent, a killed one, removal. Like trial.sh in
# a copy of a Debian root that vanishes, in namespaces of its own; the root needs the packages systemd-sysv, iproute2 and procps:
#
#   debootstrap --variant=minbase --include=systemd-sysv,iproute2,procps bookworm ROOT
#   sudo bash trial-systemd.sh PACKAGE NEWER-PACKAGE ROOT
#
# Takes a minute or two and control groups of version 2, so it is run by hand after a change of the unit.
set -euo pipefail

if [ "${1-}" = go ]; then
    # -- What systemd runs when it is up.
    VIP=192.0.2.100

    fail() {
        echo "FAILED: $*"
        journalctl --no-pager --unit xbeat | tail -n 60
        exit 1
    }

    # until_done WHAT COMMAND...
    until_done() {
        local what=$1 tries=0
        shift
        until "$@" >/dev/null 2>&1; do
            tries=$((tries + 1))
            [ $tries -lt 1200 ] || fail "waited in vain: $what"
            sleep 0.1
        done
    }

    # The first value of that name in the status, whose code is 1 while the other node is missing.
    value() {
        (xbeat status --json 2>/dev/null || true) | sed -n "s/.*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" | sed -n 1p
    }

    serves() {
        [ "$(value open)" = true ] && [ -e /run/noted ]
    }

    restarted() {
        [ "$(systemctl show --property NRestarts --value xbeat)" = "$1" ] && systemctl --quiet is-active xbeat && serves
    }

    pid() {
        systemctl show --property MainPID --value xbeat
    }

    same_life() {
        serves || fail "$1: it serves no more"
        [ "$(value session)" = "$session" ] || fail "$1: another life"
        [ "$(grep -vc status /var/log/calls)" = 1 ] || fail "$1: scripts were called: $(cat /var/log/calls)"
    }

    ip link set lo up
    ip link add eth0 type veth peer name eth1
    ip addr add 192.0.2.11/24 dev eth0
    ip link set eth0 up
    ip link set eth1 up
    echo "-- installed, not configured"
    dpkg -i /root/one.deb >/root/said 2>&1 || fail "$(cat /root/said)"
    [ "$(systemctl is-enabled xbeat)" = enabled ] || fail "not enabled"
    ! systemctl --quiet is-active xbeat || fail "it runs although nothing is configured"

    echo "-- started by its old name"
    mkdir -p /etc/ha.d/resource.d
    printf '%s\n' 'node server1 server2' 'ucast eth0 192.0.2.11' 'ucast eth0 192.0.2.12' 'keepalive 20ms' 'deadtime 1' \
        'initdead 1' 'auto_failback off' >/etc/ha.d/ha.cf
    echo "server1 IPaddr::$VIP/24/eth0 noted" >/etc/ha.d/haresources
    (umask 077 && printf 'auth 1\n1 sha1 secret\n' >/etc/ha.d/authkeys)
    cat >/etc/ha.d/resource.d/noted <<'SCRIPT'
#!/bin/sh
echo "$1 $(cat /proc/self/oom_score_adj)" >>/var/log/calls
case "$1" in
    start) : >/run/noted; setsid sleep 1234567 & ;;
    stop) rm -f /run/noted ;;
    status) if [ -e /run/noted ]; then echo running; else echo stopped; fi ;;
esac
SCRIPT
    chmod 755 /etc/ha.d/resource.d/noted
    systemctl start heartbeat || fail "it does not start"
    until_done "it serves alone" serves
    session=$(value session)
    grep -q '^start 0$' /var/log/calls || fail "a script inherits what protects the agent: $(cat /var/log/calls)"

    echo "-- systemctl restart"
    before=$(pid)
    systemctl restart xbeat || fail "restart"
    [ "$(pid)" != "$before" ] || fail "the same process"
    same_life restart

    echo "-- systemctl reload"
    sed -i 's/keepalive 20ms/keepalive 30ms/' /etc/ha.d/ha.cf
    systemctl reload xbeat || fail "reload"
    [ "$(value keepalive_us)" = 30000 ] || fail "the new keepalive is not in force"
    same_life reload

    echo "-- upgraded in service"
    before=$(pid)
    dpkg -i /root/two.deb >/root/said 2>&1 || fail "$(cat /root/said)"
    [ "$(pid)" != "$before" ] || fail "the agent of before runs: $(cat /root/said)"
    same_life upgrade

    echo "-- stuck: ended by systemd's watchdog, and started again"
    kill -STOP "$(pid)"
    until_done "a new agent" restarted 1

    echo "-- killed: started again"
    kill -KILL "$(pid)"
    until_done "a new agent" restarted 2
    pgrep -x sleep >/dev/null || fail "what the script has started is gone"

    echo "-- purged"
    dpkg --purge xbeat >/root/said 2>&1 || fail "$(cat /root/said)"
    ! ip addr show dev eth0 | grep -q $VIP || fail "the address is still there"
    [ ! -e /etc/systemd/system/multi-user.target.wants/xbeat.service ] || fail "the unit is still enabled"
    echo "the service is good"
    exit
fi

if [ "${1-}" != inside ]; then
    unified=$(findmnt --types cgroup2 --noheadings --first-only --output TARGET)
    group=$unified/xbeat-trial-$$
    mkdir "$group"
    out=$(mktemp)
    (
        echo $BASHPID >"$group/cgroup.procs"
        exec timeout 900 unshare --mount --uts --ipc --pid --net --cgroup --fork --kill-child --mount-proc \
            bash "$0" inside "$@" "$out"
    ) || true
    cat "$out"
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    tail -n 1 "$out" | grep -q '^the service is good$'
    exit
fi

# -- The copy, and systemd as its first process.
mount --make-rprivate /
scratch=$(mktemp -d)
mount -t tmpfs none "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=$4,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
copy=$scratch/root
mount -t proc proc "$copy/proc"
mount -t sysfs sysfs "$copy/sys"
mount -t cgroup2 cgroup2 "$copy/sys/fs/cgroup"
mount -t bpf bpf "$copy/sys/fs/bpf"
# No device of this machine but these.
mount -t tmpfs -o mode=755 none "$copy/dev"
for device in null zero full random urandom tty; do
    touch "$copy/dev/$device"
    mount --bind "/dev/$device" "$copy/dev/$device"
done
mkdir "$copy/dev/pts" "$copy/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$copy/dev/pts"
ln -s pts/ptmx "$copy/dev/ptmx"
ln -s /proc/self/fd "$copy/dev/fd"
for place in dev/shm run tmp; do mount -t tmpfs none "$copy/$place"; done
cp "$2" "$copy/root/one.deb"
cp "$3" "$copy/root/two.deb"
cp "$0" "$copy/root/trial.sh"
touch "$copy/root/out"
mount --bind "$5" "$copy/root/out"
echo server1 >"$copy/etc/hostname"
echo 00112233445566778899aabbccddeeff >"$copy/etc/machine-id"
for unit in getty@tty1 console-getty systemd-udevd systemd-logind systemd-resolved systemd-networkd-wait-online; do
    ln -sf /dev/null "$copy/etc/systemd/system/$unit.service"
done
mkdir -p "$copy/etc/systemd/system/multi-user.target.wants"
cat >"$copy/etc/systemd/system/trial.service" <<'UNIT'
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash /root/trial.sh go
ExecStopPost=/bin/systemctl --no-block --force poweroff
StandardOutput=append:/root/out
StandardError=append:/root/out
TimeoutStartSec=infinity
UNIT
ln -s ../trial.service "$copy/etc/systemd/system/multi-user.target.wants/trial.service"
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$copy" /lib/systemd/systemd --show-status=no </dev/null >/dev/null 2>&1
