"""`peers` from the command line: targets, tables, the record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from yolean.benchmarks import records
from yolean.benchmarks.backends.interface import Workload
from yolean.benchmarks.backends.measuring import Schedule
from yolean.benchmarks.backends.systems import System, other_yolean
from yolean.benchmarks.model_figures import peers as peers_on_a_page
from yolean.benchmarks.model_records import (
    FolderResult,
    FolderSystem,
    ModelResult,
    PeersRecord,
    SystemResult,
)
from yolean.benchmarks.record_base import NotMeasured
from yolean.benchmarks.records import RecordedResults
from yolean.benchmarks.scenarios import peers
from yolean.benchmarks.scenarios.peers import folder_table, main, table, targets
from yolean.models import DEMO_MODELS, demo_images

ROOT = Path(__file__).parents[3]


def result(system: str, *repetitions: float) -> SystemResult:
    return SystemResult(
        system=system, repetitions=list(repetitions), cold_seconds=[], cold_peak_mb=[], differences=None,
        load_ms=0, warm_up_ms=0, warm_ups=0, peak_mb=None, installed_mb=0, versions={}, details={},
    )  # fmt: skip


def entry(*systems: SystemResult) -> ModelResult:
    return ModelResult("m", "detect", (64, 64), "raw", list(systems), [], [])


def test_targets_are_for_systems_on_the_same_runtime() -> None:
    systems = [System(name, "", is_target=name != "elsewhere") for name in ("slower", "alike", "elsewhere")]
    found = targets(
        entry(
            result("yolean", 1.0, 2.0, 4.0),
            result("slower", 1.2, 2.4, 4.4),
            result("alike", 1.1, 2.0, 3.9),
            result("elsewhere", 0.5, 1.0, 2.0),
        ),
        systems,
    )
    assert [(each.name, each.outcome) for each in found] == [
        ("m: time of slower divided by yolean's", "kept"),
        ("m: time of alike divided by yolean's", "within noise"),
    ]


def test_another_yolean_is_compared_with_its_counterpart(capsys: pytest.CaptureFixture[str]) -> None:
    found = entry(result("yolean, lean", 1.0, 2.0), result("base, lean", 1.1, 2.2))
    table(found, other_yolean("base", "python")).show()
    assert "base, lean: 1.100 (1.100-1.100) x the time of yolean, lean" in capsys.readouterr().out


def test_a_folder_is_compared_by_its_rate(capsys: pytest.CaptureFixture[str]) -> None:
    folder = FolderResult(
        36,
        [
            FolderSystem("yolean", [3.0, 3.6], 80),
            FolderSystem("yolean, lean", [2.9, 3.0], 80),
            FolderSystem("Ultralytics", [3.6, 4.5], 81),
        ],
    )
    found = entry(result("yolean", 1.0))
    found.folder = folder
    assert [(each.name, each.limit, each.outcome) for each in targets(found)] == [
        ("m, a folder: images a second of yolean divided by Ultralytics'", 1.15, "kept"),
        ("m, a folder: images a second of yolean, lean divided by Ultralytics'", 1.5, "not kept"),
    ]
    folder_table(found, folder).show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "m, detect: a folder of 36 images, from files to answers"
    assert [line.split() for line in lines if line.startswith(" yolean  ")] == [
        ["yolean", "11.0", "1.23", "1.00", "80"]
    ]


def test_the_page_shows_the_folder_where_it_was_measured(tmp_path: Path) -> None:
    record = RecordedResults(ROOT / "benchmarks" / "results").peers
    for model in record.models:
        model.folder = None
    records.write(record, tmp_path / "peers.json")
    before = peers_on_a_page(RecordedResults(tmp_path))
    record.models[0].folder = FolderResult(
        36, [FolderSystem("yolean", [3.0], 8), FolderSystem("Ultralytics", [4.5], 8)]
    )
    records.write(record, tmp_path / "peers.json")
    after = peers_on_a_page(RecordedResults(tmp_path))
    assert after.startswith(before)
    assert "A folder of 36 images, from files to answers" in after
    assert "| yolean | 12.0, 1.50 (1.50-1.50) |" in after
    assert "| Ultralytics | 8.0 |" in after


def test_the_table_lists_what_was_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    pose = next(
        each for each in RecordedResults(ROOT / "benchmarks" / "results").peers.models if each.task == "pose"
    )
    table(pose).show()
    text = capsys.readouterr().out
    for each in pose.systems:
        assert f"{each.system} " in text
    for missing in pose.not_measured:
        assert f"{missing.system}: not measured: {missing.reason}" in text


def test_mistakes_are_reported_before_anything_runs() -> None:
    rows: list[tuple[list[str], str]] = [
        (["--only", "nothing"], "--only nothing: expected one of session.run; yolean; "),
        (["--also", "base"], "'base': expected NAME=PYTHON"),
        (["--also", "base=/no/such/python"], "expected NAME=PYTHON"),
        (["--images", "/no/such/folder"], "does not exist"),
        (["--plot", "p.jpg"], "ends with .svg or .png"),
    ]
    for arguments, words in rows:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert words in done.output


def test_the_record_holds_every_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command from end to end, but for making files and measuring systems."""
    seen: list[list[str]] = []

    def measure(work: Workload, files: dict[str, Path | str], schedule: Schedule, *_: Any) -> Any:
        seen.append([each.name for each in schedule.systems])
        return [result("yolean", 1.0, 1.0), result("base", 1.5, 1.5)], [NotMeasured("yolean, lean", "why")]

    def measure_folder(work: Workload, files: Any, schedule: Schedule, *_: Any) -> FolderResult:
        return FolderResult(schedule.folder_images, [FolderSystem("yolean", [1.0], 7)])

    monkeypatch.setattr(peers, "measure", measure)
    monkeypatch.setattr(peers, "measure_folder", measure_folder)
    monkeypatch.setattr(peers, "model_files", lambda model, *_: ({"plain": model}, []))
    file = tmp_path / "peers.json"
    words = ["--also", f"base={sys.executable}", "--only", "yolean", "--only", "base", "--json", str(file)]
    done = CliRunner().invoke(main, [*words, "--keep", str(tmp_path / "kept")])
    assert done.exit_code == 0, done.output
    assert seen == [["yolean", "base"]] * len(DEMO_MODELS)
    record = records.read(file)
    assert isinstance(record, PeersRecord)
    assert [each.task for each in record.models] == list(DEMO_MODELS)
    assert [each.folder and each.folder.images for each in record.models] == [36] * len(DEMO_MODELS)
    assert record.settings.images == [path.name for path in demo_images()]
    assert done.output.count("base: 1.500 (1.500-1.500) x the time of yolean") == len(DEMO_MODELS)
    assert done.output.count("yolean, lean: not measured: why") == len(DEMO_MODELS)


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    model = ROOT / "tests" / "golden" / "plain" / "shapes.onnx"
    words = ["--model", str(model), "--rounds", "2", "--cold", "1", "--folder", "20", "--json", str(file)]
    words += ["--only", "session.run", "--only", "yolean, lean", "--only", "yolean, INT8", "--only", "yolean"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    record = records.read(file)
    assert isinstance(record, PeersRecord)
    (found,) = record.models
    assert [each.system for each in found.systems] == ["session.run", "yolean", "yolean, lean"]
    (missing,) = found.not_measured
    assert (missing.system, "--calibrate" in missing.reason) == ("yolean, INT8", True)
    assert [each.kind for each in found.optimized] == ["lean"]
    assert found.folder is not None
    assert [each.system for each in found.folder.systems] == ["yolean", "yolean, lean"]
    assert len({each.objects for each in found.folder.systems}) == 1
