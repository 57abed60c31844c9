"""`scale`: replicas on this machine, and what is simulated from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from yolean.benchmarks import figures, records
from yolean.benchmarks.records import RecordedResults
from yolean.benchmarks.scale_records import ScaleRecord
from yolean.benchmarks.scenarios.scale import main
from yolean.benchmarks.servers.measuring_replicas import placements

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
ELSEWHERE = {
    **{"system": "Ray Serve", "replicas": 2, "cores": 1, "machines": [2.0], "loop": "closed", "load": 4},
    **{"router": {"choices": 2, "most_ongoing": 5, "added_ms": 7.5}, "seconds": 5, "repetitions": 1},
    **{"sent": 80, "rate": 16, "p50": 240, "p99": 300, "refused": 0},
}


def test_replicas_are_placed_on_all_cores_on_each_and_twice_on_each() -> None:
    found = placements()
    cores = found[0][0]
    assert found[0] == (cores,)
    assert found[-1] == tuple((cpu,) for cpu in (*cores, *cores))


def test_loads_that_were_measured_elsewhere_are_refused_with_the_field(tmp_path: Path) -> None:
    for change, said in (({"loop": "round"}, "round"), ({"colour": 1}, "colour")):
        file = tmp_path / "elsewhere.json"
        file.write_text(json.dumps([ELSEWHERE | change]))
        done = CliRunner().invoke(main, ["--measured", str(file)])
        assert done.exit_code == 1
        assert "expected a list of measured loads" in done.output
        assert said in done.output


def test_the_tables_follow_the_record() -> None:
    """A load needs the fewest replicas that hold it, and costs as many cores."""
    record = RecordedResults(RESULTS).scale
    rows = figures.PARTS["scale-replicas"](RecordedResults(RESULTS)).splitlines()
    cells = next([cell.strip() for cell in row.split("|")[1:-1]] for row in rows if row.startswith("| 100 |"))
    for count, dollars, router in ((cells[1], cells[2], "at random"), (cells[3], cells[4], "the shorter")):
        needed = int(count.replace(",", ""))
        held = [row for row in record.capacities if row.cores == record.cores and router in row.router]
        rate = {
            number: max((row for row in held if row.replicas <= number), key=lambda row: row.replicas).rate
            for number in (needed, needed - 1)
        }
        assert rate[needed] * needed >= 100 > rate[needed - 1] * (needed - 1)
        assert float(dollars) == pytest.approx(needed * record.cores * record.settings.price, abs=0.01)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset binds replicas to cores")
def test_the_command(tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "scale.json", tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps([ELSEWHERE]))
    words = ["--seconds", "1", "--rounds", "1", "--requests", "300", "--runs", "2", "--hours", "0.1"]
    done = CliRunner().invoke(main, [*words, "--measured", str(elsewhere), "--json", str(file)])
    assert done.exit_code == 0, done.output
    record = records.read(file)
    assert isinstance(record, ScaleRecord)
    assert record.times.saturated > 5
    assert 0.2 < record.times.start_seconds.median < 60
    assert {row.measured.system for row in record.predictions} == {"yolean serve", "Ray Serve"}
    assert all(row.p99 is not None and row.p99.median > 0 for row in record.predictions)
    assert all(0 < row.rate <= row.saturated for row in record.capacities)
    assert len(record.autoscaled) == 4
    for part in ("sizes", "replicas", "predictions", "autoscaling", "limits"):
        assert "nan" not in figures.PARTS[f"scale-{part}"](RecordedResults(tmp_path))
    words = ["--requests", "200", "--runs", "1", "--hours", "0.1", "--price", "1"]
    done = CliRunner().invoke(main, ["--from", str(file), *words, "--json", str(tmp_path / "again.json")])
    assert done.exit_code == 0, done.output
    again = records.read(tmp_path / "again.json")
    assert isinstance(again, ScaleRecord)
    assert [row.measured for row in again.predictions] == [row.measured for row in record.predictions]
    assert (again.times, again.settings.price) == (record.times, 1.0)
    assert "Ray's proxy" in figures.PARTS["scale-limits"](RecordedResults(tmp_path))
