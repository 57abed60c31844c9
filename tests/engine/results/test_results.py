from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from yolean.engine.errors import InputError
from yolean.engine.images.frames import Frame
from yolean.engine.results.image_output import write_image
from yolean.engine.results.results import Results
from yolean.postprocess.detections import Detections
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.layout import Task
from yolean.postprocess.masks import InstanceMasks
from yolean.postprocess.types import Size

NAMES = {0: "cat", 1: "fox", 2: "dog"}
SCORES = np.array([0.9, 0.8, 0.7], np.float32)
CLASSES = np.array([1, 0, 1])
XYXY = np.array([[10, 20, 50, 40], [0, 0, 200, 100], [5, 5, 6, 7]], np.float32)


def results(task: Task = "detect", boxes: Any = XYXY, **views: Any) -> Any:
    """Three objects (or as many as given) in an image of 200 x 100."""
    frame = Frame(np.zeros((100, 200, 3), np.uint8), "folder/film.mp4", 7, 25.0, 1.5)
    found = Detections(boxes, SCORES[: len(boxes)], CLASSES[: len(boxes)], **views)
    return Results(frame, NAMES, task, found, {"inference": 1.0}, Size(64, 64))


def masks(count: int = 3) -> Any:
    geometry = Geometry.letterbox(Size(100, 200), Size(64, 64))
    crops = tuple(np.ones((4, 5 + i), np.uint8) for i in range(count))
    return InstanceMasks(crops, np.array([[10, 20 + i] for i in range(count)]), geometry)


def test_attributes_of_the_frame() -> None:
    found = results()
    assert (found.path, found.frame, found.fps) == ("folder/film.mp4", 7, 25.0)
    assert (found.orig_shape, found.tensor_shape, len(found)) == ((100, 200), (64, 64), 3)
    assert (found.masks, found.keypoints, found.obb, found.probs) == (None, None, None, None)


def test_a_loop_as_ultralytics_users_write_it() -> None:
    found = results()
    seen = [(found.names[int(b.cls[0])], float(b.conf[0]), b.xyxy[0].tolist()) for b in found.boxes]
    expected: Any = ("cat", pytest.approx(0.8), [0, 0, 200, 100])
    assert seen[1] == expected
    assert found.cpu().numpy() is found


def test_summary_and_json_hold_plain_values() -> None:
    found = results("segment", masks=masks())
    first = found.summary(normalize=True, decimals=3)[0]
    assert first["box"] == {"x1": 0.05, "y1": 0.2, "x2": 0.25, "y2": 0.4}
    assert (first["name"], first["class"], first["confidence"]) == ("fox", 1, 0.9)
    assert len(first["segments"]["x"]) == len(first["segments"]["y"]) > 0
    assert json.loads(found.to_json()) == found.summary()


def test_verbose() -> None:
    for count, text in [(3, "1 cat, 2 foxes"), (1, "1 fox"), (0, "nothing found")]:
        assert results(boxes=XYXY[:count]).verbose() == text
        assert text in repr(results(boxes=XYXY[:count]))


def test_empty_results_keep_their_shapes() -> None:
    found = results("segment", XYXY[:0], masks=masks(0))
    assert found.boxes.xywh.shape == (0, 4)
    assert found.boxes.data.shape == (0, 6)
    assert found.masks.data.shape == (0, 64, 64)
    assert found.masks.xy == []
    assert found.summary() == []
    assert found.to_json() == "[]"


def test_save_writes_the_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = results()
    target = tmp_path / "Größe.png"  # OpenCV's own writer fails on such names on Windows
    assert found.save(target) == str(target)
    assert target.read_bytes()[:4] == b"\x89PNG"
    monkeypatch.chdir(tmp_path)
    assert found.save() == "results_film_7.jpg"  # a video's frame becomes an image


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/out.jpg", "No such file"),
        ("out", "expected an image's suffix"),
        ("out.xyz", "expected an image's suffix"),
        ("folder.jpg", "directory"),
    ],
)
def test_what_cannot_be_written_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(InputError, match=message):
        results().save(tmp_path / name)


def test_a_format_that_cannot_hold_the_image_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not hold 17000x1 colour pixels"):
        write_image(tmp_path / "wide.webp", np.zeros((1, 17000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def dense(task: Task, names: dict[int, str] = NAMES, **maps: Any) -> Results:
    frame = Frame(np.zeros((2, 5, 3), np.uint8), "a.jpg", 0, None, 1.5)
    return Results(frame, names, task, Detections.of_map(**maps), {"inference": 1.0}, Size(64, 64))


def test_a_semantic_mask_is_summed_up_by_class() -> None:
    ids = np.array([[0, 0, 0, 2, 255], [0, 0, 2, 2, 255]], np.uint8)
    found = dense("semantic", class_map=ids)
    assert found.summary(decimals=2) == [
        {"name": "cat", "class": 0, "pixel_ratio": 0.5},
        {"name": "dog", "class": 2, "pixel_ratio": 0.3},
    ]
    assert json.loads(found.to_json()) == found.summary()
    assert found.verbose() == "cat 50.0%, dog 30.0%"
    assert dense("semantic", class_map=np.full((2, 5), 255, np.uint8)).verbose() == "nothing found"
    one = dense("semantic", {0: "crack"}, class_map=(ids == 2).astype(np.uint8))
    assert one.summary() == [{"name": "crack", "class": 0, "pixel_ratio": 0.3}]
    many = dense(
        "semantic", {i: f"c{i}" for i in range(9)}, class_map=np.arange(10, dtype=np.uint8)[None] % 9
    )
    assert many.verbose() == "c0 20.0%, c1 10.0%, c2 10.0%, c3 10.0%, c4 10.0%, 4 more"


def test_depth_is_a_range_in_metres() -> None:
    found = dense("depth", depth=np.array([[0, 1.5], [2.25, 31.4]], np.float32))
    assert (found.summary(), found.to_json(), len(found)) == ([], "[]", 1)
    assert found.verbose() == "depth 1.50-31.40 m"
    assert dense("depth", depth=np.zeros((2, 2), np.float32)).verbose() == "depth without valid pixels"


@pytest.mark.parametrize("installed", ["polars", "pandas"])
def test_a_table_of_what_is_installed(installed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("polars", "pandas"):
        own = SimpleNamespace(DataFrame=lambda rows, name=name: (name, rows)) if name == installed else None
        monkeypatch.setitem(sys.modules, name, own)
    assert results().to_df(decimals=2) == (installed, results().summary(decimals=2))
    monkeypatch.setitem(sys.modules, installed, None)
    with pytest.raises(InputError, match="needs polars or pandas"):
        results().to_df()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux tells that there is no display")
def test_without_a_display_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="no display here"):
        results().show()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="xdg-open is of Linux")
def test_the_system_opens_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = tmp_path / "xdg-open"
    opener.write_text(f'#!/bin/sh\nhead -c 4 "$1" > {tmp_path}/seen\n')
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("DISPLAY", ":0")
    results().show(labels=False)
    assert (tmp_path / "seen").read_bytes() == b"\x89PNG"
