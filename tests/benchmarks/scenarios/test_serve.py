"""`serve` from the command line: options, tables, and real servers."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from yolean.benchmarks import plots, records
from yolean.benchmarks.__main__ import harness
from yolean.benchmarks.load_records import Load, ServeRecord, ServeSettings, SingleRequest, Soak
from yolean.benchmarks.record_base import YOLEAN_SERVE, NotMeasured
from yolean.benchmarks.records import RecordedResults
from yolean.benchmarks.scenarios import serve
from yolean.benchmarks.scenarios.serve import tables
from yolean.benchmarks.servers import measuring_servers
from yolean.benchmarks.servers.measuring_servers import LoadPlan, Loads
from yolean.benchmarks.servers.servers_under_test import ServerUnderTest
from yolean.benchmarks.tables import WIDTH
from yolean.models import demo_model

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_tables_list_what_was_not_measured_and_fit(capsys: pytest.CaptureFixture[str]) -> None:
    missing = [NotMeasured("other", "it is not installed")]
    record = msgspec.structs.replace(
        RecordedResults(RESULTS).serve, model="m[red].onnx", not_measured=missing
    )
    for table in tables(record):
        table.show()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "m[red].onnx, closed loop" in lines[0]
    assert lines[-1] == "other: not measured: it is not installed"
    own = [row for row in record.loads if row.server == YOLEAN_SERVE]
    assert sum(f" {YOLEAN_SERVE}  " in line for line in lines) == len(own)


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[tuple[list[str], str]] = [
        (["--concurrency", "1,x"], "'1,x': expected whole numbers above 0, such as 1,2,4"),
        (["--concurrency", "0,8"], "expected whole numbers above 0"),
        (["--rates", "nan"], "expected numbers above 0"),
        (["--plot", "curve.jpg"], "expected a name that ends with .svg or .png"),
        (["--json", "no-such-folder/serve.json"], "there is no folder no-such-folder"),
        (["--model", __file__], "test_serve.py"),
        (["--also", str(demo_model()), "--also", str(demo_model())], "need different names"),
    ]
    for arguments, words in rows:
        monkeypatch.setattr(serve, "wrk_program", lambda: "wrk")
        done = CliRunner().invoke(harness, ["serve", *arguments])
        assert done.exit_code in (1, 2)
        assert isinstance(done.exception, SystemExit)
        (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
        assert words in line


def test_the_record_is_written_after_every_repetition(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command from end to end, but for servers and their load."""
    file, written = tmp_path / "serve.json", list[bool]()
    single = SingleRequest(server_p50_ms=8.0, engine_p50_ms=7.0, added_ms=1.0)

    def measure(server: ServerUnderTest, plan: LoadPlan) -> Loads:
        written.append(file.is_file())
        closed: Loads = {
            ("closed", float(c)): Load(9, 9.0, 1.0, 2.0, 3.0, 0, 0, 50.0) for c in plan.concurrency
        }
        return closed | {("open", rate): Load(7, 7.0, 1.0, 2.0, 3.0, 0, 0) for rate in plan.rates}

    monkeypatch.setattr(serve, "wrk_program", lambda: "wrk")
    monkeypatch.setattr(serve, "capacity", lambda *_: 19.2345)
    monkeypatch.setattr(serve, "single_request", lambda *_: single)
    monkeypatch.setattr(serve, "soak", lambda *_: Soak(600, 250.0, 251.0))
    monkeypatch.setattr(measuring_servers, "measure", measure)
    words = ["--rounds", "2", "--concurrency", "8,1,8", "--soak", "600", "--json", str(file)]
    done = CliRunner().invoke(harness, ["serve", *words])
    assert done.exit_code == 0, done.output
    assert (written[0], written[-1]) == (False, True)
    record = records.read(file)
    assert isinstance(record, ServeRecord)
    assert record.settings == ServeSettings([1, 8], 10, 2, 1.0)
    assert sorted({row.load for row in record.rows("open")}) == [4.81, 9.62, 14.4, 17.3, 21.2]
    assert all(len(row.repetitions) == 2 for row in record.loads)
    assert "litserve + ultralytics" in {missing.system for missing in record.not_measured}
    assert record.single_request == single
    assert "the server adds 1.0 ms" in done.output
    assert "Memory after 500 requests: 250 MB; after 600: 251 MB." in done.output


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_real_servers(tmp_path: Path) -> None:
    file, plot = tmp_path / "serve.json", tmp_path / "serve.png"
    words = ["--seconds", "1", "--rounds", "1", "--concurrency", "1,8", "--rates", "20"]
    done = CliRunner().invoke(harness, ["serve", *words, "--json", str(file), "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    record = records.read(file)
    assert isinstance(record, ServeRecord)
    own = [row for row in record.rows("closed") if row.server == YOLEAN_SERVE]
    assert [row.load for row in own] == [1, 8]
    for row in own:
        (load,) = row.repetitions
        assert load.rate > 1
        assert (load.memory_mb or 0) > 50
        assert (load.broken, load.refused) == (0, 0)
    for row in record.rows("closed"):
        if row.server == "starlette + session.run":
            assert record.rate_ratio(YOLEAN_SERVE, row) is not None
    (fixed,) = (row for row in record.rows("open") if row.server == YOLEAN_SERVE)
    (load,) = fixed.repetitions
    assert load.sent == 20
    assert load.p50 is not None
    assert "the server adds " in done.output
    assert plots.shows(plot, record)
