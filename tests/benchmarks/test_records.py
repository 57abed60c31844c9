"""Recorded results: what is read and refused, how targets are judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import ClickException
from yolean.benchmarks import records
from yolean.benchmarks.record_base import SCHEMA, judged
from yolean.measurement.summary import Quartiles

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_the_recorded_results_are_read_and_written_unchanged(tmp_path: Path) -> None:
    files = sorted(RESULTS.glob("*.json"))
    assert len(files) == 6
    for file in files:
        record = records.read(file)
        assert record.machine.processor
        assert record.machine.commit
        copy = tmp_path / file.name
        records.write(record, copy)
        assert copy.read_bytes() == file.read_bytes()


def test_what_is_no_such_record_is_refused_with_the_field(tmp_path: Path) -> None:
    rows: list[tuple[dict[str, object], str]] = [
        ({"schema": SCHEMA - 1}, "schema"),
        ({"scenario": "weather"}, "weather"),
        ({"cores": "two"}, "cores"),
        ({"colour": 1}, "colour"),
        ({"sharing": None}, "sharing"),
    ]
    for change, words in rows:
        file = tmp_path / "threads.json"
        file.write_text(json.dumps(json.loads((RESULTS / "threads.json").read_text()) | change))
        with pytest.raises(ClickException, match=words):
            records.read(file)


def test_a_target_is_kept_only_by_the_whole_iqr() -> None:
    rows: list[tuple[str, float, float, str]] = [
        ("at most", 0.5, 1.0, "kept"),
        ("at most", 0.9, 1.1, "within noise"),
        ("at most", 1.1, 1.2, "not kept"),
        ("above", 1.01, 1.2, "kept"),
        ("above", 0.9, 1.1, "within noise"),
        ("above", 0.8, 1.0, "not kept"),
    ]
    for bound, q1, q3, outcome in rows:
        assert bound in ("at most", "above")
        measured = Quartiles((q1 + q3) / 2, q1, q3)
        found = judged("t", "above" if bound == "above" else "at most", 1.0, measured)
        assert found.outcome == outcome
