"""`threads`: the ways to share the cores, and two models in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from yolean.benchmarks import records
from yolean.benchmarks.load_records import ThreadsRecord
from yolean.benchmarks.scenarios.threads import configurations, main


def test_the_ways_to_share_the_cores() -> None:
    assert list(configurations(4).values()) == [(4, 1), (1, 4), (4, 4)]


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "threads.json"
    done = CliRunner().invoke(main, ["--seconds", "1", "--rounds", "1", "--json", str(file)])
    assert done.exit_code == 0, done.output
    record = records.read(file)
    assert isinstance(record, ThreadsRecord)
    assert all(way.images_a_second.median > 1 and way.p50_ms > 0 for way in record.sharing)
    assert [each.model for each in record.alternating] == ["shapes", "shapes-pose"]
    for way in record.sharing:
        assert way.name in done.output
