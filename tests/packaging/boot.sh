#!/bin/sh
# Boots systemd as process 1 in namespaces of its own, over a copy of this machine that nothing can be written through to.
# boot.sh FOLDER CGROUP: FOLDER holds opt/orders and orders.service; CGROUP is an empty control group of the unified hierarchy.
set -eu
if [ "${3-}" != inside ]; then
    echo $$ >"$2/cgroup.procs"
    exec unshare --fork --pid --mount --cgroup --net --uts --ipc --kill-child=KILL sh "$0" "$1" "$2" inside
fi
mount --make-rprivate /
root=$1/root
mkdir "$root" "$1/layer"
mount -t tmpfs tmpfs "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/layer/upper,workdir=$1/layer/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666,mode=620
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/opt/orders" "$root/etc/systemd/system"
cp -a "$1/opt/orders/." "$root/opt/orders"
mount -t tmpfs tmpfs "$root/tmp" -o mode=1777
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/systemd/system/*.requires "$root/etc/fstab" # nothing of this machine is started
cp "$1/orders.service" "$root/etc/systemd/system"
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >"$root/etc/systemd/system/alone.target"
ln -sf alone.target "$root/etc/systemd/system/default.target"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
chroot "$root" useradd --system --home-dir /opt/orders --shell /usr/sbin/nologin orders
exec env -i container=perdure PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /lib/systemd/systemd --system --log-target=null
