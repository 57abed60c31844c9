from __future__ import annotations

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


@pytest.mark.parametrize(
    ("quota", "physical", "expected"),
    [(None, 8, 8), (1.5, 8, 2), (0.2, 8, 1), (64.0, 2, 2)],  # quotas are rounded up, never to zero
)
def test_usable_cores_respects_the_quota(
    monkeypatch: pytest.MonkeyPatch, quota: Any, physical: Any, expected: Any
) -> None:
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    monkeypatch.setattr(cores, "_physical", lambda cpus: physical)
    assert cores.usable_cores() == expected


def test_hyperthreads_count_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cores, "_CPUS", tmp_path)
    for cpu in range(4):
        (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}/topology/thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    assert cores._physical({0, 1, 2, 3}) == 2
    assert cores._physical({0, 2}) == 1
    assert cores._physical({7, 8}) == 2  # not told: every CPU counts
