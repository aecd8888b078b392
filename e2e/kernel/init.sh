#!/bin/busybox sh
# The first process of the virtual machine. It runs the tests, prints their exit
# code on a separate line, and powers the machine off in any case.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp MESHWAY_TEST_VM=1

run() {
  mount -t proc proc /proc && mount -t sysfs sysfs /sys || return
  mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev || return
  for module in /modules/*; do
    insmod "$module" || { echo "cannot load $module"; return 1; }
  done
  ip link set lo up || return
  echo "kernel $(uname -r), up for $(cut -d ' ' -f 1 /proc/uptime) s"
  cd /tmp && /tests -test.v -test.timeout "$TEST_TIMEOUT"
}

# TEST_TIMEOUT is set by the kernel's command line.
run
printf '\nmeshway-vm: tests ended with exit code %d\n' $?
poweroff -f
