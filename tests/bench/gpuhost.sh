#!/bin/bash
# run "$@" in a private mount namespace that looks like a host with an NVIDIA driver: gpuhost.sh <driver version> <pci device id> cmd...
v=$1 id=$2; shift 2
exec unshare -m bash -c '
  v=$1 id=$2; shift 2
  mount -t tmpfs t /sys/module && mkdir -p /sys/module/nvidia && { [ -z "$v" ] || echo "$v" > /sys/module/nvidia/version; }
  mount -t tmpfs t /proc/driver && mkdir -p /proc/driver/nvidia && { [ -z "$v" ] || printf "NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  Thu Jun  6 00:00:00 UTC 2024\nGCC version:  gcc version 12.2.0\n" "$v" > /proc/driver/nvidia/version; }
  mount -t tmpfs t /sys/bus/pci && d=/sys/bus/pci/devices/0000:07:00.0 && mkdir -p $d && echo 0x10de > $d/vendor && echo 0x$id > $d/device && echo 0x030200 > $d/class && echo 0 > $d/irq && : > $d/resource && printf "\xde\x10\x${id:2:2}\x${id:0:2}\0\0\0\0\xa1\0\x02\x03" > $d/config && head -c 52 /dev/zero >> $d/config
  exec "$@"' x "$v" "$id" "$@"
