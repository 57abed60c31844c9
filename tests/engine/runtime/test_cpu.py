from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from yolean.engine.runtime import cpu as cores


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000"}, None),  # cgroup v2 without a limit
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),  # v1
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({}, None),  # no cgroup
    ],
)
def test_quota(tmp_path: Path, files: Any, quota: Any) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores.cpu_quota(tmp_path) == quota


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells the affinity of a process")
def test_usable_cores_are_physical_and_within_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    for cpu in range(8):  # of four cores
        (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}/topology/thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    for quota, expected in (("max", 4), ("150000", 2), ("20000", 1), ("6400000", 4)):  # rounded up, from 1
        (tmp_path / "cpu.max").write_text(f"{quota} 100000")
        assert cores.usable_cores(tmp_path, tmp_path) == expected
    assert cores.physical_cores({0, 1, 2, 3}, tmp_path) == 4
    assert cores.physical_cores({0, 4}, tmp_path) == 1
    assert cores.physical_cores({7, 8}, tmp_path) == 2  # one is unknown: every logical CPU counts
