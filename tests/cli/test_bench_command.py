"""`yolean bench`: what it takes, what it measures, what it prints and writes, and how it ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yolean
from click.testing import CliRunner, Result
from yolean.cli import bench_measuring
from yolean.cli.bench_measuring import (
    LEAST_REPETITIONS,
    SESSION_RUN,
    STAGES,
    YOLEAN,
    Configuration,
    Measurement,
    labels,
    measure,
    reasons,
    runs_a_repetition,
    summarised,
)
from yolean.cli.bench_table import fastest
from yolean.cli.bench_worker import calls_of
from yolean.cli.main import cli
from yolean.measurement.summary import Quartiles
from yolean.measurement.worker import Repetition
from yolean.models import demo_images, demo_model

SHAPES, CLASSES = str(demo_model()), str(demo_model("classify"))
STAR = next(path for path in demo_images() if path.stem == "star")
ABOUT = {
    "task": "detect", "family": "", "layout": "raw", "weights": None, "dtype": "float32", "dynamic": True,
    "batch": 2, "imgsz": (64, 64), "shapes": [(2, 3, 64, 64)], "device": "cpu",
    "provider": "CPUExecutionProvider", "warm_ups": 3, "warm_up_ms": 30.0, "import_ms": 1.0, "load_ms": 2.0,
    "first_ms": 3.0, "images_mb": 10.0,
}  # fmt: skip
OWN = Repetition([20.0] * 3, [[[1.0, 2.0, 5.0, 1.0, 4], [3.0, 2.0, 5.0, 0.5, 0]]] * 3, 90.0)
BARE = Repetition([8.0] * 3, [], 50.0)
REPETITIONS = [{YOLEAN: OWN, SESSION_RUN: BARE}] * 5


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)], catch_exceptions=False)


def configuration(model: str = SHAPES, **changes: Any) -> Configuration:
    values: dict[str, Any] = {"threads": 1, "batch": None, "imgsz": None, "device": "cpu", "precision": None}
    return Configuration(model, Path(model).name, **(values | changes))


class FakeWorker:
    """A measured process that answers at once, and is interrupted after so many repetitions."""

    repetitions = 0
    interrupted_after = 1 << 30

    def __init__(self, command: list[str]) -> None:
        self.own = '"system": "yolean"' in command[-1]
        self.about = ABOUT

    def __enter__(self) -> FakeWorker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def repetition(self, runs: int) -> Repetition:
        if self.own:
            FakeWorker.repetitions += 1
            if FakeWorker.repetitions > FakeWorker.interrupted_after:
                raise KeyboardInterrupt
        return OWN if self.own else BARE


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    monkeypatch.setattr(bench_measuring, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "repetitions", 0)
    monkeypatch.setattr(FakeWorker, "interrupted_after", 1 << 30)
    return FakeWorker


# ---- measured ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_yolean_and_session_run_are_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("no model")
    target = tmp_path / "bench.json"
    result = run("shapes-cls", broken, "--images", STAR, "--threads", 1, "--duration", 0.2, "--json", target)
    assert result.exit_code == 1, result.output
    assert result.stderr == ""
    assert all(len(line) <= 80 for line in result.stdout.splitlines() if not line.startswith("Not measured"))
    for text in ("shapes-cls.onnx", "postprocess", "session.run", "p99", "images/s", "x run", "loads in"):
        assert text in result.stdout
    assert next(line for line in result.stdout.splitlines() if "broken" in line).startswith("Not measured")
    record = json.loads(target.read_text())
    assert record["machine"]["yolean"] == yolean.__version__
    assert record["settings"]["images"][0]["file"] == STAR.name
    assert str(tmp_path) not in json.dumps(record["rows"])
    (missing,) = record["not_measured"]
    assert missing["model"] == "broken.onnx"
    (row,) = record["rows"]
    data = Path(CLASSES).read_bytes()
    assert row["model"] == {
        "file": "shapes-cls.onnx", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)
    }  # fmt: skip
    assert (row["task"], row["threads"], row["batch"], row["device"]) == ("classify", 1, 1, "cpu")
    assert row["tensors"] == [[1, 3, 128, 128]]
    assert row["repetitions"] >= LEAST_REPETITIONS
    assert row["images"] == row["calls"] >= row["repetitions"]
    parts = sum(row["stages"][name]["p50"] for name in STAGES)
    assert parts * 0.5 < row["total"]["p50"]
    assert row["stages"]["inference"]["p50"] > 0
    assert row["ratio"]["median"] > 0
    assert 10 < row["peak_mb"] < 1000


def test_figures_are_an_image_and_the_ratio_leaves_decoding_out() -> None:
    row = summarised(configuration(), ABOUT, REPETITIONS)
    assert (row.repetitions, row.calls, row.images, row.objects_an_image) == (5, 15, 30, 2)
    assert row.stages["decode"] == {"p50": 2, "p90": 3, "p99": 3}
    assert row.stages["inference"]["p50"] == 5
    assert row.total["p50"] == 10  # 20 ms a call of two
    assert row.session_run["p50"] == 4
    assert row.ratio == Quartiles(2, 2, 2)  # (20 - 4) / 8
    assert row.images_a_second == pytest.approx(100)
    assert row.peak_mb == 80  # without the images that it holds


@pytest.mark.parametrize(
    ("repetitions", "kept"),
    [(LEAST_REPETITIONS - 1, 0), (LEAST_REPETITIONS, 1), (LEAST_REPETITIONS + 2, 1)],
)
def test_an_interrupted_configuration_is_kept_after_enough_repetitions(
    workers: type[FakeWorker], monkeypatch: pytest.MonkeyPatch, repetitions: int, kept: int
) -> None:
    monkeypatch.setattr(workers, "interrupted_after", repetitions)
    rows: list[Measurement] = []
    with pytest.raises(KeyboardInterrupt):
        measure(configuration(), [], 600, lambda share: None, rows)
    assert [row.repetitions for row in rows] == [repetitions] * kept


def test_there_are_enough_repetitions_however_short_the_time(workers: type[FakeWorker]) -> None:
    rows: list[Measurement] = []
    measure(configuration(), [], 1e-9, lambda share: None, rows)
    assert rows[0].repetitions == LEAST_REPETITIONS


def test_runs_a_repetition() -> None:
    rows: list[tuple[float, int, float, int]] = [
        (10, 1, 5, 25),  # a quarter of a second
        (10, 4, 5, 24),  # every image equally often
        (10, 40, 5, 25),  # more images than fit
        (10, 1, 1.6, 5),  # a sixteenth of the time, less a pause
        (1000, 1, 5, 1),
        (10, 1, 0.1, 1),
    ]
    for ms, images, seconds, runs in rows:
        about = {"warm_up_ms": ms * 4, "warm_ups": 4, "shapes": [(1, 3, 8, 8)] * images}
        assert runs_a_repetition(about, seconds) == runs


def test_calls_are_full_batches_of_one_shape_with_the_shapes_mixed() -> None:
    model = yolean.load(SHAPES, device="cpu")
    tall, wide = (640, 320), (320, 640)
    images = [(str(path), *size) for path, size in zip(demo_images(), [tall, tall, tall, wide], strict=True)]
    calls = calls_of(model, 2, 320, images)
    shapes = [shape for _, shape in calls]
    assert shapes == [(2, 3, 320, 160), (2, 3, 160, 320), (2, 3, 320, 160)]
    data = [path.read_bytes() for path in demo_images()]
    assert [batch for batch, _ in calls] == [data[:2], [data[3]] * 2, [data[2], data[0]]]


def test_session_run_gets_the_shapes_that_yolean_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = yolean.load(SHAPES, device="cpu"), []
    real = model.session.run

    def spy(tensor: Any, floor: float) -> Any:
        seen.append(tensor.shape)
        return real(tensor, floor)

    monkeypatch.setattr(model.session, "run", spy)
    sizes = [result.orig_shape for result in model([str(path) for path in demo_images()])]
    seen.clear()
    calls = calls_of(model, 2, 96, [(str(p), *s) for p, s in zip(demo_images(), sizes, strict=True)])
    for images, _ in calls:
        model(images, batch=2, imgsz=96)
    assert seen == [shape for _, shape in calls]
    assert len(set(seen)) > 1


# ---- what is said of it -----------------------------------------------------------------------------------


def test_configurations_with_the_same_reason_share_a_line() -> None:
    cases = [
        configuration(threads=t, batch=b, imgsz=s) for t in (1, 2) for b in (1, 4) for s in (320, (64, 96))
    ]
    small = [(c, "too small") for c in cases if c.imgsz == 320]
    batch = [(c, "too many") for c in cases if c.imgsz != 320 and c.batch == 4]
    odd = [(cases[1], "odd"), (cases[6], "odd")]
    assert reasons(cases, small + batch) == [
        "shapes.onnx, 320x320: too small",
        "shapes.onnx, 64x96, batch 4: too many",
    ]
    assert reasons(cases, odd) == [f"{cases[1].name}: odd", f"{cases[6].name}: odd"]
    assert reasons(cases, [(c, "no such device") for c in cases]) == ["no such device"]
    others = [configuration(CLASSES, threads=t) for t in (1, 2)]
    assert reasons(cases + others, [(c, "broken") for c in others]) == ["shapes-cls.onnx: broken"]


def test_files_of_one_name_are_told_apart() -> None:
    assert labels(["a/x/best.onnx", "b/x/best.onnx"]) == {
        "a/x/best.onnx": "a/x/best.onnx",
        "b/x/best.onnx": "b/x/best.onnx",
    }
    assert labels(["a/one.onnx", "b/two.onnx"])["a/one.onnx"] == "one.onnx"


def test_the_fastest_number_of_threads_is_named() -> None:
    rows = [summarised(configuration(threads=threads), ABOUT, REPETITIONS) for threads in (1, 2)]
    assert list(fastest(rows[:1])) == []
    rows[1] = replace(rows[1], images_a_second=150.04)
    assert list(fastest(rows)) == ["shapes.onnx, 64x64, batch 2: fastest with 2 threads, 150.0 images/s"]


def test_ctrl_c_keeps_what_was_measured(
    workers: type[FakeWorker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "interrupted_after", LEAST_REPETITIONS + 1)  # in the second configuration
    target = tmp_path / "bench.json"
    result = run("shapes", "--images", STAR, "--threads", "1,2", "--duration", 1e-9, "--json", target)
    assert result.exit_code == 130
    assert "1 thread, batch 2" in result.stdout
    assert "2 threads" not in result.stdout
    record = json.loads(target.read_text())
    assert record["settings"]["cut_short"] is True
    assert [row["threads"] for row in record["rows"]] == [1]


def test_ctrl_c_before_anything_was_measured_leaves_the_file(
    workers: type[FakeWorker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "interrupted_after", 0)
    target = tmp_path / "bench.json"
    target.write_text("of before")
    result = run("shapes", "--images", STAR, "--json", target)
    assert (result.exit_code, result.stdout) == (130, "")
    assert target.read_text() == "of before"


# ---- what is refused --------------------------------------------------------------------------------------


def test_wrong_options_are_one_line_before_anything_runs(tmp_path: Path) -> None:
    rows: list[tuple[list[str], str]] = [
        (["--threads", "0"], "'0': expected whole numbers from 1 to 1024 such as 1,2,4"),
        (["--threads", "1,,2"], "'1,,2'"),
        (["--threads", "²"], "whole numbers"),
        (["--batch", ""], "'': expected whole numbers"),
        (["--imgsz", "320x"], "320,640 or 480x640"),
        (["--imgsz", "9000"], "'9000'"),
        (["--duration", "nan"], "number of seconds above 0"),
        (["--duration", "0"], "number of seconds above 0"),
        (["--images", "nowhere"], "nowhere: expected a folder or an image"),
        (["--images", SHAPES], "expected a folder or an image, such as a .jpg file"),
        (["--images", "{empty}"], "holds no images"),
        (["--json", "{empty}"], "is a folder"),
        (["--json", "{empty}/there/is/none.json"], "there is no folder"),
        ([SHAPES, "--json", SHAPES], "is the name of a model"),
    ]
    for arguments, expected in rows:
        result = run(*(argument.format(empty=tmp_path) for argument in arguments))
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert expected in result.stderr.splitlines()[-1]


@pytest.mark.usefixtures("workers")
def test_lists_are_read_in_order_without_doubles(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    result = run(
        "shapes", "--images", STAR, "--imgsz", "640, 480X640,640", "--duration", 1e-9, "--json", target
    )
    assert result.exit_code == 0, result.output
    assert json.loads(target.read_text())["settings"]["options"]["imgsz"] == [640, [480, 640]]


@pytest.mark.usefixtures("workers")
def test_an_image_that_cannot_be_read_is_reported_and_left_out(tmp_path: Path) -> None:
    target, images = tmp_path / "bench.json", tmp_path / "images"
    images.mkdir()
    (images / "bad.jpg").write_text("no image")
    arguments = ("shapes", "--images", images, "--duration", 1e-9, "--json", target)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "no image can be read: " in result.stderr
    assert "bad.jpg" in result.stderr
    (images / "star.jpg").write_bytes(STAR.read_bytes())
    result = run(*arguments)
    assert result.exit_code == 1
    assert "bad.jpg" in result.stderr
    (image,) = json.loads(target.read_text())["settings"]["images"]
    assert image == {"file": "star.jpg", "bytes": STAR.stat().st_size, "height": 400, "width": 300}


def test_nothing_measured_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    result = run("shapes", "--images", STAR, "--device", "abacus", "--threads", 1, "--json", target)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: unknown device 'abacus': expected auto, cpu")
    assert not target.exists()
