"""The CPU cores that this process may use, and their features."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


def usable_cores(cgroup: Path = _CGROUP, cpus: Path = _CPUS) -> int:
    """Number of physical cores within the affinity mask and the CPU quota of the container, at least 1.

    ONNX Runtime reads neither mask nor quota: in a container limited to one core of 64, it starts 64 threads
    that wait for one another.

    Args:
        cgroup: where the cgroup file system is mounted.
        cpus: the folder of Linux with one folder for each logical CPU.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # macOS, Windows
        allowed = set(range(os.cpu_count() or 1))
    cores = physical_cores(allowed, cpus)
    quota = cpu_quota(cgroup)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def cpu_quota(root: Path = _CGROUP) -> float | None:
    """The CPU quota of the container's cgroup, v2 or v1, in cores; None where there is no limit.

    Args:
        root: where the cgroup file system is mounted.
    """
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return int(quota) / int(period)


def physical_cores(logical: set[int], cpus: Path = _CPUS) -> int:
    """Number of cores with these logical CPUs; on Linux, hyperthreads of one core count once."""
    siblings = set()
    for cpu in logical:
        topology = cpus / f"cpu{cpu}/topology/thread_siblings_list"
        try:
            siblings.add(topology.read_text().strip())
        except OSError:
            return len(logical)
    return len(siblings)


def has_cpu_flag(*flags: str) -> bool:
    """Whether the CPU has any of these features, by their names in /proc/cpuinfo; False outside Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    found = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return not set(flags).isdisjoint(found)
