#!/bin/sh
# Tries the package: taken over from Heartbeat, configured, started, upgraded in service, removed, purged; in a copy of a Debian
# system that vanishes with this script. `cargo xtask deb --test` calls it, as root and in namespaces of its own:
#
#   unshare --mount --pid --net --uts --ipc --fork --kill-child sh trial.sh PACKAGE NEWER-PACKAGE ROOT
#
# ROOT is `/` for a copy of this system, or any other Debian root, such as debootstrap makes.
set -eu

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

step() {
    echo "-- $*"
}

# until WHAT COMMAND...: waits for it, for as long as a very slow machine may take.
until_done() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || fail "waited in vain: $what"
        sleep 0.1
    done
}

says() {
    grep -q -e "$1" /tmp/said || fail "no line says \"$1\": $(cat /tmp/said)"
}

# -- The copy.

if [ "${1-}" != inside ]; then
    root=$3
    mount --make-rprivate /
    scratch=$(mktemp -d)
    mount -t tmpfs none "$scratch"
    mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
    copy=$scratch/root
    mount -t proc proc "$copy/proc"
    mount -t sysfs sysfs "$copy/sys"
    if [ -d "$copy/sys/fs/bpf" ]; then mount -t bpf bpf "$copy/sys/fs/bpf"; fi
    mount --rbind /dev "$copy/dev"
    for place in run tmp var/log; do mount -t tmpfs -o mode=755 none "$copy/$place"; done
    cp "$0" "$copy/tmp/trial.sh"
    cp "$1" "$copy/tmp/one.deb"
    cp "$2" "$copy/tmp/two.deb"
    code=0
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root \
        chroot "$copy" /bin/sh /tmp/trial.sh inside || code=$?
    # Nothing of this process may hold the copy any longer; the namespaces end with it.
    umount -l "$scratch"
    rmdir "$scratch"
    exit $code
fi

# -- Inside.

VIP=192.0.2.100
CONFIG=/etc/ha.d
hostname server1
# No init runs here, so Debian's scripts would start nothing: these tell them that services may be started, and how.
rm -f /usr/sbin/policy-rc.d /sbin/runlevel
printf '#!/bin/sh\nexit 0\n' >/usr/sbin/policy-rc.d
printf '#!/bin/sh\necho N 2\n' >/sbin/runlevel
chmod 755 /usr/sbin/policy-rc.d /sbin/runlevel
ip link set lo up
ip link add eth0 type veth peer name eth1
ip addr add 192.0.2.11/24 dev eth0
ip link set eth0 up
ip link set eth1 up
rm -f "$CONFIG/ha.cf" "$CONFIG/haresources" "$CONFIG/authkeys"

status() {
    xbeat status --json 2>/dev/null
}

# The first value of that name in the status.
value() {
    status | sed -n "s/.*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" | head -n 1
}

serves() {
    [ "$(value open)" = true ] && [ "$(status | sed -n '/"groups"/,$ s/.*"state": "\([a-z]*\)".*/\1/p' | head -n 1)" = started ]
}

has_vip() {
    ip addr show dev eth0 | grep -q "$VIP/"
}

agent() {
    cat /run/xbeat/lock
}

if ! dpkg-query -W -f '${Status}' heartbeat 2>/dev/null | grep -q ' installed$'; then
    step "a package in the place of Heartbeat's"
    old=/tmp/heartbeat
    mkdir -p $old/DEBIAN $old/etc/ha.d $old/etc/init.d $old/etc/logrotate.d $old/usr/bin $old/usr/share/heartbeat
    printf '#!/bin/sh\nexit 0\n' | tee $old/etc/ha.d/harc $old/etc/init.d/heartbeat $old/usr/bin/cl_status \
        $old/usr/share/heartbeat/hb_standby >/dev/null
    chmod 755 $old/etc/init.d/heartbeat $old/usr/bin/cl_status $old/usr/share/heartbeat/hb_standby
    printf '/var/log/ha-log {\n    missingok\n}\n' >$old/etc/logrotate.d/heartbeat
    printf '%s\n' /etc/ha.d/harc /etc/init.d/heartbeat /etc/logrotate.d/heartbeat >$old/DEBIAN/conffiles
    printf '%s\n' 'Package: heartbeat' 'Version: 1:3.0.6-13' 'Architecture: all' 'Maintainer: nobody <nobody@localhost>' \
        'Description: in the place of Heartbeat' >$old/DEBIAN/control
    dpkg-deb --build --root-owner-group $old /tmp/heartbeat.deb >/dev/null
    dpkg -i /tmp/heartbeat.deb >/dev/null
fi
[ -e /etc/init.d/heartbeat ] || fail "Heartbeat has no init script here"

step "xbeat takes the place of Heartbeat; nothing is configured"
dpkg -i /tmp/one.deb >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
says "xbeat is not configured"
dpkg-query -W -f '${Status}' heartbeat | grep -q 'config-files$' || fail "Heartbeat is still there"
[ -e "$CONFIG/harc" ] || fail "a file of Heartbeat in $CONFIG is gone"
code=0
xbeat status >/tmp/said 2>&1 || code=$?
[ $code = 3 ] || fail "an agent runs although nothing is configured: $code"
/etc/init.d/xbeat start >/tmp/said
says "Heartbeat not configured"

step "the commands of old, the unit, the scripts"
for name in heartbeat cl_status hb_standby hb_takeover; do
    [ "$(readlink -f "$(command -v $name)")" = /usr/sbin/xbeat ] || fail "$name is not xbeat's"
done
for path in /usr/lib/heartbeat/heartbeat /usr/libexec/heartbeat/heartbeat /usr/lib/heartbeat/hb_standby \
    /usr/share/heartbeat/hb_standby /usr/lib/heartbeat/hb_takeover /usr/share/heartbeat/hb_takeover \
    /usr/lib/heartbeat/send_arp; do
    [ "$(readlink -f $path)" = /usr/sbin/xbeat ] || fail "$path is not xbeat's"
done
[ -x /usr/libexec/heartbeat/send_arp ] || fail "nothing is at /usr/libexec/heartbeat/send_arp"
heartbeat -V >/tmp/said
says xbeat
[ -L /etc/systemd/system/multi-user.target.wants/xbeat.service ] || fail "the unit is not enabled"
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify xbeat.service >/tmp/said 2>&1 || fail "the unit: $(cat /tmp/said)"
    [ ! -s /tmp/said ] || fail "the unit: $(cat /tmp/said)"
fi
if command -v logrotate >/dev/null; then
    echo x | tee /var/log/ha-log >/var/log/ha-debug
    logrotate --debug /etc/logrotate.d/ha-xbeat /etc/logrotate.d/heartbeat >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
    if grep -q '^error' /tmp/said; then fail "logrotate: $(cat /tmp/said)"; fi
fi

step "configured and started"
printf '%s\n' 'node server1 server2' 'ucast eth0 192.0.2.11' 'ucast eth0 192.0.2.12' 'keepalive 20ms' 'deadtime 1' \
    'initdead 1' 'auto_failback off' 'logfile /var/log/ha-log' >$CONFIG/ha.cf
echo "server1 IPaddr::$VIP/24/eth0 noted" >$CONFIG/haresources
(umask 077 && printf 'auth 1\n1 sha1 PutYourSuperSecretKeyHere\n' >$CONFIG/authkeys)
cat >$CONFIG/resource.d/noted <<'SCRIPT'
#!/bin/sh
echo "$1" >>/var/log/calls
case "$1" in
    start) : >/run/noted ;;
    stop) rm -f /run/noted ;;
    status) if [ -e /run/noted ]; then echo running; else echo stopped; fi ;;
esac
SCRIPT
cat >$CONFIG/resource.d/startstop <<'SCRIPT'
#!/bin/sh
echo "$*" >>/var/log/hooks
SCRIPT
chmod 755 $CONFIG/resource.d/noted $CONFIG/resource.d/startstop
xbeat check >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
/etc/init.d/xbeat start >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
until_done "server1 serves alone" serves
has_vip || fail "the address is not there"
/etc/init.d/xbeat status >/tmp/said
says "heartbeat OK"
# Not under systemd: the hook is the init script's.
[ "$(cat /var/log/hooks)" = "pre-start
post-start 0" ] || fail "the hook was called so: $(cat /var/log/hooks)"

step "upgraded in service"
before=$(agent)
epoch=$(value epoch)
session=$(value session)
calls=$(cat /var/log/calls)
dpkg -i /tmp/two.deb >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
says "goes on with the gates that are open"
says "the agent is version"
[ "$(agent)" != "$before" ] || fail "the agent of before still runs"
until_done "server1 serves" serves
[ "$(value epoch)" = "$epoch" ] || fail "the epoch is another one: $epoch, $(value epoch)"
[ "$(value session)" = "$session" ] || fail "the session is another one"
[ "$(cat /var/log/calls)" = "$calls" ] || fail "scripts were called: $(cat /var/log/calls)"

step "files that the new version refuses stop nothing"
before=$(agent)
cp $CONFIG/ha.cf /tmp/ha.cf
echo 'nonsense 7' >>$CONFIG/ha.cf
dpkg -i /tmp/two.deb >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
says "the agent of before goes on"
[ "$(agent)" = "$before" ] || fail "another agent runs"
serves || fail "the agent of before serves no more"
cp /tmp/ha.cf $CONFIG/ha.cf

step "removed: the configuration stays"
dpkg --remove xbeat >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
if has_vip; then fail "the address is still there"; fi
tail -n 1 /var/log/calls | grep -q stop || fail "the resource was not stopped: $(cat /var/log/calls)"
for path in /usr/sbin/xbeat /usr/sbin/heartbeat /usr/bin/cl_status /usr/lib/heartbeat/send_arp \
    /usr/lib/systemd/system/heartbeat.service; do
    if [ -e $path ] || [ -L $path ]; then fail "$path is still there"; fi
done
cmp $CONFIG/ha.cf /tmp/ha.cf
[ -e /etc/init.d/heartbeat ] || fail "the init script that Heartbeat left is gone"
/etc/init.d/xbeat start || fail "without the program the init script is no error"

step "purged: nothing of the package stays, and /etc/ha.d does"
dpkg --purge xbeat >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
cmp $CONFIG/ha.cf /tmp/ha.cf
[ -x $CONFIG/resource.d/noted ] || fail "a resource script is gone"
left=$(find /etc /usr/bin /usr/sbin /usr/lib /usr/libexec /usr/share /var/lib /run -xdev -name '*xbeat*' 2>/dev/null |
    grep -v '^/var/lib/dpkg/' || true)
[ -z "$left" ] || fail "left behind: $left"

echo "the package is good"
