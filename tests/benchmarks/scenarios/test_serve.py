"""`serve` from the command line: options, tables, and real servers."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from yolean.benchmarks import plots, records
from yolean.benchmarks.__main__ import harness
from yolean.benchmarks.load_records import ServeRecord
from yolean.benchmarks.record_base import YOLEAN_SERVE, NotMeasured
from yolean.benchmarks.records import RecordedResults
from yolean.benchmarks.scenarios import serve
from yolean.benchmarks.scenarios.serve import tables
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--concurrency", "1,x"], "'1,x': expected whole numbers above 0, such as 1,2,4"),
        (["--concurrency", "0,8"], "expected whole numbers above 0"),
        (["--rates", "nan"], "expected numbers above 0"),
        (["--plot", "curve.jpg"], "expected a name that ends with .svg or .png"),
        (["--json", "no-such-folder/serve.json"], "there is no folder no-such-folder"),
        (["--model", __file__], "test_serve.py"),
        (["--also", str(demo_model()), "--also", str(demo_model())], "need different names"),
    ],
)
def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str) -> None:
    monkeypatch.setattr(serve, "wrk_program", lambda: "wrk")
    done = CliRunner().invoke(harness, ["serve", *arguments])
    assert done.exit_code in (1, 2)
    assert isinstance(done.exception, SystemExit)
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert words in line


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
