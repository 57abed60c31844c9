"""The `yolean` command: what it prints where, what it writes, and with which status it ends."""

from __future__ import annotations

import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from yolean.cli.main import cli
from yolean.engine.diagnostics import Finding
from yolean.engine.pipeline import Engine
from yolean.engine.results.writers import JsonLines, Recorder, as_record
from yolean.models import DEMO_MODELS, demo_images, demo_model

SHAPES = str(demo_model())
ONE_THREAD = ("-m", SHAPES, "--threads", 1)  # more cost CPU time, and make small models no faster
IMAGE = demo_images()[0]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


def run(*arguments: object) -> Result:
    """The command in this process; what is no SystemExit is raised."""
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "yolean", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, env=ENV, text=True, **pipes)


def read_image(path: str | Path) -> NDArray[Any]:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def write_video(path: Path, frames: int, size: tuple[int, int] = (96, 64), fps: float = 12.5) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    assert writer.isOpened()
    image = cv2.resize(read_image(IMAGE), size)
    for number in range(frames):
        writer.write(np.roll(image, number, axis=1))
    writer.release()
    return path


def read_video(path: Path) -> tuple[int, float, tuple[int, ...]]:
    """Frames that can be decoded, frames a second, shape."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return len(frames), fps, frames[0].shape


def error_of(result: Result, status: int = 2) -> str:
    """The one line of a refusal, and nothing else anywhere."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def image(here: Path) -> Path:
    (here / "a.jpg").write_bytes(IMAGE.read_bytes())
    return Path("a.jpg")


@pytest.fixture
def broken(here: Path) -> Path:
    (here / "broken.jpg").write_text("no image")
    return Path("broken.jpg")


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 3000 frames, which no run is through with before it is told to end."""
    return write_video(tmp_path_factory.mktemp("video") / "long.avi", 3000)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the engine is loaded and called with; both happen nevertheless."""
    seen: dict[str, Any] = {}
    load, stream = yolean.load, Engine.stream

    def spy_load(model: str, **options: Any) -> Engine:
        seen.update(options, model=model)
        return load(model, **{k: v for k, v in options.items() if k in ("device", "threads")})

    def spy_stream(self: Engine, source: Any, **options: Any) -> Any:
        seen.update(options)
        return stream(self, source, **options)

    monkeypatch.setattr("yolean.engine.loading.load", spy_load)
    monkeypatch.setattr(Engine, "stream", spy_stream)
    return seen


# ---- predict: the demo ------------------------------------------------------------------------------------


def test_without_arguments_a_demo_is_predicted_and_saved(here: Path) -> None:
    result = run("predict")
    assert result.exit_code == 0
    assert result.stderr == ""
    line, saved, hint = result.stdout.splitlines()
    (found,) = yolean.load(SHAPES)(IMAGE)
    assert line.startswith(f"1/1  {IMAGE}")
    assert line.endswith(found.verbose())
    assert len(found) > 3
    assert saved == f"Saved {Path('yolean-demo', IMAGE.name)}"
    assert hint.startswith("Next: yolean predict ")
    drawn = read_image(here / "yolean-demo" / IMAGE.name)
    assert drawn.shape == found.orig_img.shape
    assert np.abs(drawn.astype(int) - found.orig_img).max() > 50


@pytest.mark.parametrize("word", DEMO_MODELS.values())
def test_every_demo_model_finds_something_in_its_image(word: str) -> None:
    result = run("predict", "--model", word)
    assert result.exit_code == 0
    assert "nothing found" not in result.stdout


def test_a_demo_that_cannot_be_saved_is_refused_before_the_model_loads(
    here: Path, calls: dict[str, Any]
) -> None:
    (here / "yolean-demo").write_text("a file where the folder should be")
    assert "yolean-demo: it is a file" in error_of(run("predict"))
    assert not calls


def test_the_word_of_a_demo_model_gives_way_to_a_file_of_that_name(here: Path, image: Path) -> None:
    assert run("predict", image, "--model", "shapes").exit_code == 0
    (here / "shapes").write_text("no model")
    assert "ONNX" in error_of(run("predict", image, "--model", "shapes"))
    assert "SOURCE" in error_of(run("predict", "--model", "shapes"))


# ---- predict: lines and JSON ------------------------------------------------------------------------------


def test_a_line_an_image_and_a_summary(here: Path) -> None:
    paths = [Path("p", f"{'x' * number}.jpg") for number in range(1, 11)]
    (here / "p").mkdir()
    for path in paths:
        path.write_bytes(IMAGE.read_bytes())
    result = run("predict", "p", "-m", SHAPES)
    *lines, summary = result.stdout.splitlines()
    verbose = yolean.load(SHAPES)(IMAGE)[0].verbose()
    assert [line.split()[0] for line in lines] == [f"{n}/10" for n in range(1, 11)]
    for path, line in zip(paths, lines, strict=True):
        assert line.split()[1:3] == [str(path), "640x480"]
        assert line.endswith(f" ms  {verbose}")
    assert len({line.index("640x480") for line in lines}) == 1
    assert summary.startswith("10 images in ")
    assert "inference" in summary
    assert "\x1b" not in result.output


def test_one_image_has_no_summary(image: Path) -> None:
    assert len(run("predict", image, "-m", SHAPES).stdout.splitlines()) == 1


def test_quiet_prints_errors_only(image: Path, broken: Path) -> None:
    result = run("predict", image, broken, "-m", SHAPES, "--quiet", "--save", "out")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert Path("out/a.jpg").exists()


def test_json_lines_hold_what_results_hold(here: Path, image: Path) -> None:
    video = write_video(here / "clip.avi", 3)
    result = run("predict", image, video, "-m", SHAPES, "--json", "o.jsonl")
    assert result.exit_code == 0
    still, *frames = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    (found,) = yolean.load(SHAPES)(IMAGE)
    assert list(still) == ["path", "shape", "task", "results", "speed"]
    assert (still["path"], still["shape"], still["task"]) == ("a.jpg", [480, 640], "detect")
    assert still["results"] == found.summary()
    assert list(still["speed"]) == ["decode", "preprocess", "inference", "postprocess"]
    assert [(f["path"], f["frame"], f["shape"]) for f in frames] == [
        (str(video), i, [64, 96]) for i in range(3)
    ]


def test_a_json_line_is_in_the_file_when_it_is_written(here: Path) -> None:
    (found,) = yolean.load(SHAPES)(IMAGE)
    assert found.boxes is not None
    with JsonLines("o.jsonl") as records:
        records.write(found)
        assert Path("o.jsonl").read_text() == json.dumps(as_record(found)) + "\n"
        found.boxes.xyxy[0, 0] = np.nan
        with pytest.raises(yolean.ModelError, match="NaN"):
            records.write(found)
    assert Path("o.jsonl").read_text().count("\n") == 1


def test_json_on_stdout_sends_the_lines_to_stderr(image: Path) -> None:
    result = run("predict", image, image, "-m", SHAPES, "--json", "-")
    assert [json.loads(line)["path"] for line in result.stdout.splitlines()] == ["a.jpg", "a.jpg"]
    assert [line.split()[0] for line in result.stderr.splitlines()] == ["1/2", "2/2", "2"]


def test_json_replaces_an_earlier_run_but_only_when_there_is_a_new_one(image: Path) -> None:
    Path("o.jsonl").write_text("old\n")
    error_of(run("predict", image, "-m", "missing.onnx", "--json", "o.jsonl"))
    assert Path("o.jsonl").read_text() == "old\n"
    run("predict", image, "-m", SHAPES, "--json", "o.jsonl")
    (line,) = Path("o.jsonl").read_text().splitlines()
    assert json.loads(line)["path"] == "a.jpg"


def test_json_does_not_overwrite_a_image(image: Path, calls: dict[str, Any]) -> None:
    assert "results.jsonl" in error_of(run("predict", image, "-m", SHAPES, "--json", image))
    assert image.read_bytes() == IMAGE.read_bytes()
    assert "missing/o.jsonl" in error_of(run("predict", image, "-m", SHAPES, "--json", "missing/o.jsonl"))
    assert not calls  # both before the model is loaded


@posix
def test_what_a_terminal_would_obey_is_spelled_out(here: Path) -> None:
    for name in ("\x1b[2J.jpg", os.fsdecode(b"\xff.jpg")):
        (here / name).write_bytes(IMAGE.read_bytes())
    result = run("predict", here, "-m", SHAPES, "--json", "o.jsonl")
    assert result.exit_code == 0
    assert "\\x1b[2J.jpg" in result.stdout
    assert "\\udcff.jpg" in result.stdout
    paths = [Path(json.loads(line)["path"]).name for line in Path("o.jsonl").read_text().splitlines()]
    assert paths == ["\x1b[2J.jpg", "\udcff.jpg"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such names exist on Linux only")
@pytest.mark.parametrize("name", [b"m\xff.onnx", b"d\xff/m.onnx"])
def test_a_model_whose_path_is_no_text(image: Path, name: bytes) -> None:
    model = Path(os.fsdecode(name))
    model.parent.mkdir(exist_ok=True)
    model.write_bytes(demo_model().read_bytes())
    result = run("predict", image, "-m", model, "--json", "o.jsonl")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(Path("o.jsonl").read_text())["results"] == yolean.load(SHAPES)(IMAGE)[0].summary()
    facts = run("info", model)
    assert facts.exit_code == 0
    assert "\\udcff" in facts.stdout
    model.write_bytes(b"no model")
    assert "\\udcff" in error_of(run("info", model))


# ---- predict: options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"conf": 0.25, "iou": 0.45, "imgsz": None, "max_det": 300, "classes": None, "batch": None}),
        (["--conf", 0.5, "--iou", 0.6, "--max-det", 7], {"conf": 0.5, "iou": 0.6, "max_det": 7}),
        (["--imgsz", 160], {"imgsz": 160}),
        (["--imgsz", "96,160"], {"imgsz": (96, 160)}),  # height, width
        (["--agnostic-nms", "--batch", 2], {"agnostic_nms": True, "batch": 2}),
        (["--classes", "0,2"], {"classes": [0, 2]}),
        (["--classes", "star,DISK", "--classes", "1"], {"classes": [3, 0, 1]}),
        (["--device", "cpu", "--threads", 1], {"device": "cpu", "threads": 1}),
        (["--task", "detect", "--names", "a, b"], {"task": "detect", "names": ["a", "b"]}),
        (["--names", "names.txt"], {"names": ["one", "two words"]}),
        (["--kpt-shape", "17,3", "--precision", "fp32"], {"kpt_shape": (17, 3), "precision": "fp32"}),
    ],
)
def test_options_reach_the_engine(
    image: Path, calls: dict[str, Any], arguments: list[object], expected: dict[str, Any]
) -> None:
    Path("names.txt").write_text("one\n\ntwo words\n")
    assert run("predict", image, "-m", SHAPES, *arguments).exit_code == 0
    assert calls | expected == calls


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--imgsz", "640x480"], "480,640"),
        (["--imgsz", "1,2,3"], "480,640"),
        (["--kpt-shape", "17"], "two whole numbers"),
        (["--conf", "1.5"], "0<=x<=1"),
        (["--names", "missing.txt"], "one name a line"),
        (["--classes", "disc"], "disk"),  # the nearest name
        (["--classes", "9"], "0 to 3"),
        (["--device", "abacus"], "abacus"),
        (["--task", "dance"], "detect"),
        (["--threads", "0"], "x>=1"),
    ],
)
def test_wrong_options_are_refused(image: Path, arguments: list[str], expected: str) -> None:
    result = run("predict", image, "-m", SHAPES, *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr.splitlines()[-1]
    assert result.stdout == ""


def test_classes_are_kept_by_name(image: Path) -> None:
    run("predict", image, "-m", SHAPES, "--classes", "star", "--json", "o.jsonl")
    names = [found["name"] for found in json.loads(Path("o.jsonl").read_text())["results"]]
    assert names
    assert set(names) == {"star"}


# ---- predict: errors --------------------------------------------------------------------------------------


def test_a_model_is_needed(image: Path) -> None:
    message = error_of(run("predict", image))
    assert "--model is needed" in message
    assert "shapes-seg" in message
    assert "did you mean --model yolo.onnx?" in error_of(run("predict", "yolo.onnx", image))


def test_a_missing_model_is_one_line(image: Path) -> None:
    assert "missing.onnx does not exist" in error_of(run("predict", image, "-m", "missing.onnx"))


def test_one_bad_image_among_several_does_not_stop_the_others(image: Path, broken: Path) -> None:
    result = run("predict", broken, image, "missing.jpg", image, "-m", SHAPES)
    assert result.exit_code == 1
    assert [line.split()[1] for line in result.stdout.splitlines()[:2]] == ["a.jpg", "a.jpg"]
    assert "2 could not be read" in result.stdout
    first, second = result.stderr.splitlines()
    assert first.startswith("Error: broken.jpg: ")
    assert second.startswith("Error: 'missing.jpg': ")


def test_nothing_but_bad_images(broken: Path) -> None:
    assert "broken.jpg" in error_of(run("predict", broken, "-m", SHAPES))
    several = run("predict", broken, broken, "-m", SHAPES)
    assert several.exit_code == 2
    assert len(several.stderr.splitlines()) == 2


@pytest.mark.parametrize("word", ["conf=0.5", "source=bus.jpg", "max_det=3"])
def test_options_as_ultralytics_writes_them_are_pointed_out(image: Path, word: str) -> None:
    name, _, value = word.partition("=")
    message = error_of(run("predict", image, "-m", SHAPES, word))
    assert f"--{name.replace('_', '-')} {value}" in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full exists on Linux only")
def test_a_full_disk_behind_the_standard_output_is_one_line(image: Path) -> None:
    command = [sys.executable, "-m", "yolean", "predict", str(image), "-m", "shapes"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot write the output" in done.stderr


def test_a_bug_keeps_its_traceback(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "stream", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("predict", image, "-m", SHAPES)


# ---- predict: annotated files -----------------------------------------------------------------------------


def test_save_makes_the_folder_and_keeps_names(here: Path, image: Path) -> None:
    for name in ("b.PNG", "c.pgm"):
        cv2.imwrite(name, cv2.cvtColor(read_image(IMAGE), cv2.COLOR_BGR2GRAY))
    result = run("predict", image, "b.PNG", "c.pgm", "-m", SHAPES, "--save", "deep/out")
    assert result.exit_code == 0
    assert sorted(os.listdir("deep/out")) == [
        "a.jpg",
        "b.PNG",
        "c.pgm.png",
    ]  # PGM has no colours to draw with
    assert read_image("deep/out/c.pgm.png").shape == (480, 640, 3)
    assert result.stdout.splitlines()[-1] == f"Saved {Path('deep/out')}"


def test_sources_of_one_name_do_not_overwrite_each_other(here: Path, image: Path) -> None:
    (here / "b").mkdir()
    cv2.imwrite("b/A.jpg", np.zeros((32, 32, 3), np.uint8))
    run("predict", image, "b/A.jpg", image, "-m", SHAPES, "--save", "out")
    shapes = {path.name: read_image(path).shape[:2] for path in Path("out").iterdir()}
    assert shapes == {"a.jpg": (480, 640), "A-2.jpg": (32, 32), "a-3.jpg": (480, 640)}


def test_an_earlier_run_is_replaced(image: Path) -> None:
    for conf in (0.25, 1.0):
        run("predict", image, "-m", SHAPES, "--save", "out", "--conf", conf)
    assert os.listdir("out") == ["a.jpg"]
    difference = cv2.absdiff(read_image("out/a.jpg"), read_image("a.jpg"))
    assert difference.mean() < 3  # nothing passes a threshold of 1: only JPEG differs


@pytest.mark.parametrize(
    "source",
    ["images/a.jpg", "images", "images/*.jpg", "**/a.jpg"],
)
def test_sources_are_never_overwritten(here: Path, source: str) -> None:
    (here / "images").mkdir()
    original = here / "images" / "a.jpg"
    original.write_bytes(IMAGE.read_bytes())
    result = run("predict", source, "-m", SHAPES, "--save", "images")
    assert result.exit_code == 0
    assert original.read_bytes() == IMAGE.read_bytes()
    assert sorted(os.listdir("images")) == ["a-2.jpg", "a.jpg"]


def test_a_source_that_is_read_later_is_not_overwritten(here: Path, image: Path) -> None:
    (here / "b").mkdir()
    cv2.imwrite("b/a.jpg", np.zeros((32, 32, 3), np.uint8))
    before = Path("b/a.jpg").read_bytes()
    run("predict", image, "b/a.jpg", "-m", SHAPES, "--save", "b")
    assert Path("b/a.jpg").read_bytes() == before
    assert sorted(os.listdir("b")) == ["a-2.jpg", "a-3.jpg", "a.jpg"]


@posix
def test_a_link_to_the_source_is_replaced_not_followed(here: Path, image: Path) -> None:
    video = write_video(here / "clip.mp4.avi", 2)
    (here / "out").mkdir()
    (here / "out" / "a.jpg").symlink_to(here / image)
    (here / "out" / "clip.mp4.mp4").symlink_to(video)
    before = video.read_bytes()
    assert run("predict", image, video, "-m", SHAPES, "--save", "out").exit_code == 0
    assert image.read_bytes() == IMAGE.read_bytes()
    assert video.read_bytes() == before
    assert not (here / "out" / "a.jpg").is_symlink()
    assert read_video(here / "out" / "clip.mp4.mp4")[0] == 2


@pytest.mark.parametrize("folder", ["a.jpg", "a.jpg/out", pytest.param("/proc/out", marks=posix)])
def test_a_folder_that_cannot_be_written_is_refused_first(
    image: Path, calls: dict[str, Any], folder: str
) -> None:
    assert f"the folder {folder}: " in error_of(run("predict", image, "-m", SHAPES, "--save", folder))
    assert not calls


def test_videos_are_written_at_their_rate(here: Path) -> None:
    (here / "other").mkdir()
    videos = [write_video(here / "clip.avi", 5), write_video(here / "other" / "clip.avi", 3, (64, 48), 20)]
    result = run("predict", videos[0], *videos, "-m", SHAPES, "--save", "out")
    assert result.exit_code == 0
    assert {path.name: read_video(path) for path in Path("out").iterdir()} == {
        "clip.mp4": (5, 12.5, (64, 96, 3)),
        "clip-2.mp4": (5, 12.5, (64, 96, 3)),
        "clip-3.mp4": (3, 20, (48, 64, 3)),
    }
    assert result.stdout.splitlines()[-2].startswith("13 images ")


def test_a_stream_is_written_as_a_video(here: Path) -> None:
    write_video(here / "clip.avi", 4)
    handler = functools.partial(_Silent, directory=str(here))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            address = f"http://user:secret@127.0.0.1:{server.server_port}/clip.avi"
            result = run("predict", address, "-m", SHAPES, "--save", "out", "--json", "o.jsonl")
        finally:
            server.shutdown()
    assert result.exit_code == 0
    assert "secret" not in result.output + Path("o.jsonl").read_text()
    assert os.listdir("out") == [f"127.0.0.1_{server.server_port}_clip.mp4"]
    assert read_video(Path("out", os.listdir("out")[0]))[0] == 4
    assert result.stdout.splitlines()[3].startswith("4  ")  # how many come is not known


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def test_a_stream_that_changes_its_size_goes_on_in_another_file(here: Path) -> None:
    engine = yolean.load(SHAPES)
    small, large = (write_video(here / f"{n}.avi", 2, size) for n, size in ((1, (64, 48)), (2, (96, 64))))
    with Recorder("out") as recorder:
        for number, result in enumerate((*engine.stream(small), *engine.stream(large))):
            result.path, result.frame = "rtsp://camera/1.main", number
            recorder.write(result)
    assert recorder.count == 2
    assert read_video(Path("out/camera_1.main.mp4"))[0] == 2
    assert read_video(Path("out/camera_1.main-2.mp4"))[::2] == (2, (64, 96, 3))


# ---- a process of its own ---------------------------------------------------------------------------------


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys; from yolean.cli.main import cli; "
        "cli(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
    *text, modules = done.stdout.splitlines()
    assert any("predict" in line for line in text)
    assert not {"numpy", "cv2", "onnxruntime", "rich"} & set(modules.split())


def test_the_version() -> None:
    with start("--version") as process:
        assert process.communicate() == (f"yolean {yolean.__version__}\n", "")


def test_errors_have_no_traceback_and_leave_stdout_alone(image: Path) -> None:
    with start("predict", image, "--model", "missing.onnx") as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err == "Error: missing.onnx does not exist: expected an .onnx file\n"


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_it_has(here: Path, long_video: Path, number: int, status: int) -> None:
    arguments = ("predict", long_video, *ONE_THREAD, "--save", "out", "--json", "o.jsonl")
    with open("lines.txt", "w") as lines, start(*arguments, stdout=lines) as process:
        deadline = time.monotonic() + 60
        while count_lines("o.jsonl") < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == ""
    records = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    frames, fps, _ = read_video(here / "out" / "long.mp4")
    assert fps == 12.5
    assert 19 <= frames < 3000
    assert abs(len(records) - frames) <= 1  # the signal may come between the two
    summed_up = Path("lines.txt").read_text().splitlines()[-1] == f"Saved {Path('out/long.mp4')}"
    assert summed_up is (number == signal.SIGINT)


def count_lines(path: str) -> int:
    try:
        return Path(path).read_text().count("\n")
    except FileNotFoundError:
        return 0


@posix
@pytest.mark.parametrize("arguments", [(), ("--json", "-")])
def test_a_reader_that_leaves_ends_the_run_quietly(
    here: Path, long_video: Path, arguments: tuple[str, ...]
) -> None:
    with start("predict", long_video, *ONE_THREAD, "--save", "out", *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "Broken" not in err
    assert 0 < read_video(here / "out" / "long.mp4")[0] < 3000


@pytest.fixture
def terminal() -> Iterator[tuple[int, Any]]:
    """File descriptor for a program, and a function that reads what the program wrote there."""
    import pty

    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def collect() -> None:
        try:
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        except OSError:  # how Linux reports that the other side is closed
            pass

    thread = threading.Thread(target=collect)
    thread.start()

    def text() -> str:
        os.close(theirs)
        thread.join()
        return b"".join(chunks).decode()

    yield theirs, text
    os.close(ours)


@posix
@pytest.mark.parametrize("arguments", [(), ("--json", "-")])
def test_the_bar_is_on_the_terminal_and_never_in_a_file(
    here: Path, terminal: tuple[int, Any], arguments: tuple[str, ...]
) -> None:
    video = write_video(here / "clip.avi", 30)
    command = ("predict", video, *ONE_THREAD, *arguments)
    with open("out.txt", "w") as out, start(*command, stdout=out, stderr=terminal[0]) as process:
        process.wait()
    assert "━" in terminal[1]()
    lines = Path("out.txt").read_text().splitlines()
    if arguments:
        assert [json.loads(line)["frame"] for line in lines] == list(range(30))
    else:
        assert [line.split()[0] for line in lines[:-1]] == [f"{n}/30" for n in range(1, 31)]
        assert "\x1b" not in "".join(lines)


@posix
def test_no_bar_beside_a_pipe(here: Path, terminal: tuple[int, Any]) -> None:
    # What reads the pipe may write to the same terminal, as in `yolean predict clips | grep star`.
    video = write_video(here / "clip.avi", 5)
    with start("predict", video, *ONE_THREAD, stderr=terminal[0]) as process:
        out, _ = process.communicate()
    assert len(out.splitlines()) == 6
    assert terminal[1]() == ""


# ---- info and doctor --------------------------------------------------------------------------------------


def test_info_prints_the_spec() -> None:
    result = run("info", "shapes")
    assert result.exit_code == 0
    for words in (
        "detect",
        "4: disk, box, triangle, star",
        "320x320",
        "CPUExecutionProvider",
        "free in steps of 32",
    ):
        assert words in result.stdout


def test_info_as_json() -> None:
    engine = yolean.load(SHAPES, threads=1)
    facts = json.loads(run("info", SHAPES, "--json", "--threads", 1).stdout)
    assert facts["names"] == list(engine.names.values())
    assert facts["imgsz"] == list(engine.spec.imgsz)
    assert facts["bytes"] == demo_model().stat().st_size
    assert (facts["task"], facts["layout"], facts["stride"]) == ("detect", "lean", 32)
    assert (facts["provider"], facts["device"], facts["threads"]) == ("CPUExecutionProvider", "cpu", 1)
    assert facts["versions"]["yolean"] == yolean.__version__
    assert {"dynamic", "batch", "dtype", "channels", "kpt_shape", "family", "outputs"} <= set(facts)


def test_info_refuses_what_is_no_model(image: Path) -> None:
    assert "ONNX" in error_of(run("info", image))
    assert "missing.onnx does not exist" in error_of(run("info", "missing.onnx", "--json"))


FINE, ODD, BAD = (Finding(level, "part", f"is {level}", "mend it") for level in ("ok", "warn", "fail"))


@pytest.mark.parametrize(("findings", "status"), [([FINE, ODD], 0), ([FINE, BAD, ODD], 1)])
def test_the_doctor(monkeypatch: pytest.MonkeyPatch, findings: list[Finding], status: int) -> None:
    monkeypatch.setattr("yolean.engine.diagnostics.examine", lambda: iter(findings))
    result = run("doctor")
    assert result.exit_code == status
    assert result.stdout.count("do:") == len(findings)
    as_json = run("doctor", "--json")
    assert as_json.exit_code == status
    told = json.loads(as_json.stdout)
    assert told["healthy"] is (status == 0)
    assert told["findings"][0] == {"level": "ok", "about": "part", "what": "is ok", "advice": "mend it"}


def without(here: Path, *modules: str) -> dict[str, str]:
    """The environment of a process in which these modules do not start."""
    for module in modules:
        (here / "fake" / module).mkdir(parents=True)
        (here / "fake" / module / "__init__.py").write_text(f"raise ImportError('{module} does not start')")
    return ENV | {"PYTHONPATH": f"{here / 'fake'}{os.pathsep}{ENV['PYTHONPATH']}"}


@pytest.mark.parametrize("missing", ["numpy", "cv2", "onnxruntime"])
def test_a_module_that_does_not_start_is_one_line(here: Path, missing: str) -> None:
    command, env = [sys.executable, "-m", "yolean", "predict"], without(here, missing)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()  # OpenCV prints advice of its own where numpy is missing, to stdout
    assert line.startswith("Error: ")
    assert f"{missing} does not start" in line


def test_the_doctor_answers_where_nothing_else_does(here: Path) -> None:
    modules = ("numpy", "cv2", "onnxruntime")
    command, env = [sys.executable, "-m", "yolean", "doctor"], without(here, *modules)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    for module in modules:
        assert f"fail  {module}" in done.stdout
        assert f"{module} does not start" in done.stdout
