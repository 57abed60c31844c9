"""`yolean predict`: what it prints where, what it writes, and with which status it ends."""

from __future__ import annotations

import functools
import http.server
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from invocation import IMAGE, SHAPES, error_of, posix, read_image, read_video, run, write_video
from map_models import map_model
from yolean.engine.results.writers import JsonLines, Recorder, as_record
from yolean.models import DEMO_MODELS, demo_model


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


def test_every_demo_model_finds_something_in_its_image(here: Path) -> None:
    for word in DEMO_MODELS.values():
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


# ---- lines and JSON ---------------------------------------------------------------------------------------


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


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such names exist on Linux only")
def test_a_model_whose_path_is_no_text(image: Path) -> None:
    model = Path(os.fsdecode(b"d\xff/m\xff.onnx"))
    model.parent.mkdir()
    model.write_bytes(demo_model().read_bytes())
    result = run("predict", image, "-m", model, "--json", "o.jsonl")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(Path("o.jsonl").read_text())["results"] == yolean.load(SHAPES)(IMAGE)[0].summary()
    facts = run("info", model)
    assert facts.exit_code == 0
    assert "\\udcff" in facts.stdout
    model.write_bytes(b"no model")
    assert "\\udcff" in error_of(run("info", model))


def test_classes_are_kept_by_name(image: Path) -> None:
    run("predict", image, "-m", SHAPES, "--classes", "star", "--json", "o.jsonl")
    names = [found["name"] for found in json.loads(Path("o.jsonl").read_text())["results"]]
    assert names
    assert set(names) == {"star"}


# ---- errors -----------------------------------------------------------------------------------------------


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


# ---- annotated files --------------------------------------------------------------------------------------


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


def test_sources_are_never_overwritten(here: Path) -> None:
    for number, source in enumerate(("images/a.jpg", "images", "images/*.jpg", "**/a.jpg")):
        folder = here / str(number)
        (folder / "images").mkdir(parents=True)
        original = folder / "images" / "a.jpg"
        original.write_bytes(IMAGE.read_bytes())
        os.chdir(folder)
        assert run("predict", source, "-m", SHAPES, "--save", "images").exit_code == 0, source
        assert original.read_bytes() == IMAGE.read_bytes(), source
        assert sorted(os.listdir("images")) == ["a-2.jpg", "a.jpg"], source


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


def test_a_folder_that_cannot_be_written_is_refused_first(image: Path, calls: dict[str, Any]) -> None:
    for folder in ("a.jpg", "a.jpg/out", *(["/proc/out"] if sys.platform == "linux" else [])):
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
    assert any(line.startswith("13 images ") for line in result.stdout.splitlines())


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


def test_maps_have_a_line_a_record_and_an_image(here: Path) -> None:
    Path("sem.onnx").write_bytes(map_model("class_map", size=None, batch=None))
    Path("depth.onnx").write_bytes(map_model("depth"))
    for model, key in (("sem.onnx", "results"), ("depth.onnx", "depth")):
        result = run("predict", IMAGE, "--model", model, "--save", "drawn", "--json", "-")
        assert result.exit_code == 0
        (found,) = yolean.load(model)(IMAGE)
        assert result.stderr.splitlines()[0].endswith(found.verbose())
        record = json.loads(result.stdout)
        assert record[key] == as_record(found)[key] != []
        assert np.abs(read_image(here / "drawn" / IMAGE.name).astype(int) - found.plot()).mean() < 4
    low, high = found.depth.range  # type: ignore[union-attr,misc]
    assert record["depth"] == {"min": pytest.approx(low, abs=1e-5), "max": pytest.approx(high, abs=1e-5)}
    assert record["results"] == []
    chosen = run("predict", IMAGE, "--model", "sem.onnx", "--classes", "class d")
    assert "class d" in chosen.stdout
    assert "class a" not in chosen.stdout
    assert "depth" in run("info", "depth.onnx").stdout
    assert "4: class a, class b" in run("info", "sem.onnx").stdout
