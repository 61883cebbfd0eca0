#!/bin/sh
# Becomes a real systemd, as process 1 of namespaces of its own: `unshare` has made them, and nothing here touches the machine.
#
#   inside.sh FOLDER [SOURCE TARGET]…      FOLDER: empty, ours; each SOURCE is seen under TARGET, for reading
#
# It sees the machine's files; what is written goes into memory. /etc/systemd/system, /run, /tmp and /dev are its own, so nothing that
# is enabled on the machine is started, nothing in fstab is mounted, and no device or socket of the machine is reached.
set -eu
folder=$1
shift
mount --make-rprivate /

mount -t tmpfs -o mode=0755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/tree"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/tree"
tree=$folder/tree
while [ $# -gt 0 ]; do
  mkdir -p "$tree$2"
  mount --bind "$1" "$tree$2"
  mount -o remount,bind,ro "$tree$2"
  shift 2
done

mkdir -p "$tree/etc/systemd/system" "$tree/etc/systemd/journald.conf.d" "$tree/etc/credstore"
mount -t tmpfs -o mode=0755 tmpfs "$tree/etc/systemd/system"
: >"$tree/etc/fstab"
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nForwardToSyslog=no\n' >"$tree/etc/systemd/journald.conf.d/msi-stream.conf"
chmod 0700 "$tree/etc/credstore"
# What is not of these namespaces alone, or takes time and is not needed.
for unit in systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-udevd.service \
  systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-random-seed.service \
  systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-update-utmp.service systemd-update-done.service \
  systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup.service systemd-tmpfiles-clean.timer systemd-sysusers.service \
  systemd-firstboot.service systemd-remount-fs.service systemd-machine-id-commit.service systemd-networkd.service \
  systemd-resolved.service systemd-timesyncd.service systemd-pstore.service systemd-journald-audit.socket kmod-static-nodes.service \
  ldconfig.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
  dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount tmp.mount; do
  ln -s /dev/null "$tree/etc/systemd/system/$unit"
done

mount -t tmpfs -o mode=0755 tmpfs "$tree/run"
mount -t tmpfs -o mode=1777 tmpfs "$tree/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$tree/dev"
for device in null zero full random urandom tty; do
  : >"$tree/dev/$device"
  mount --bind "/dev/$device" "$tree/dev/$device"
done
mkdir "$tree/dev/pts" "$tree/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$tree/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$tree/dev/shm"
ln -s pts/ptmx "$tree/dev/ptmx"
ln -s /proc/self/fd "$tree/dev/fd"
for name in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${name#*:}" "$tree/dev/${name%:*}"; done
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"

cd "$tree"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
mount --make-rshared / # as on any machine: credentials get into a service's own namespace by that
export container=other
exec /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=0
