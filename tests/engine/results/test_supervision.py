"""supervision, in an environment of its own, reads results unmodified: drawing and counting."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from moving_shapes import crossing, write
from yolean.models import demo_images, demo_model

pytestmark = pytest.mark.supervision
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def sv() -> Any:
    return pytest.importorskip("supervision", reason="needs the package supervision")


def found(task: str, **options: Any) -> yolean.Results:
    image = next(path for path in demo_images() if path.stem == ("star" if task == "classify" else "shapes"))
    return yolean.load(demo_model(task), device="cpu")(image, **options)[0]


@pytest.mark.parametrize(
    "options", [{}, {"retina_masks": True}, {"tile": 320}], ids=["plain", "retina", "tile"]
)
@pytest.mark.parametrize("task", ["detect", "segment", "obb"])
def test_objects(sv: Any, task: str, options: dict[str, Any]) -> None:
    if task != "segment" and "retina_masks" in options:
        options = {}
    result = found(task, **options)
    detections = sv.Detections.from_ultralytics(result)
    objects = result.boxes if result.obb is None else result.obb
    assert objects is not None
    assert len(detections) == len(result) > 1
    np.testing.assert_allclose(detections.xyxy, objects.xyxy)
    np.testing.assert_allclose(detections.confidence, objects.conf)
    assert detections.class_id.tolist() == objects.cls.tolist()
    if result.masks is not None:
        assert np.asarray(detections.mask).shape == (len(result), *result.orig_shape)
    annotators = [sv.BoxAnnotator(), sv.LabelAnnotator(), sv.MaskAnnotator(), sv.OrientedBoxAnnotator()]
    kinds = {"detect": annotators[:2], "segment": annotators[:3], "obb": [annotators[1], annotators[3]]}
    for annotator in kinds[task]:
        drawn = annotator.annotate(result.orig_img.copy(), detections)
        assert (drawn != result.orig_img).any()


def test_nothing_found(sv: Any) -> None:
    for task in ("detect", "segment", "obb"):
        assert len(sv.Detections.from_ultralytics(found(task, classes=[]))) == 0


def test_keypoints_and_classes(sv: Any) -> None:
    pose = found("pose")
    assert pose.keypoints is not None
    points = sv.KeyPoints.from_ultralytics(pose)
    np.testing.assert_allclose(points.xy, pose.keypoints.xy)
    star = found("classify")
    assert star.probs is not None
    classes = sv.Classifications.from_ultralytics(star)
    assert classes.get_top_k(1)[0].tolist() == [star.probs.top1]


def test_its_own_slicer(sv: Any) -> None:
    model, image = yolean.load(demo_model(), device="cpu"), cv2.imread(str(demo_images()[0]))

    def run(part: Any) -> Any:
        return sv.Detections.from_ultralytics(model(part)[0])

    assert len(sv.InferenceSlicer(run, slice_wh=320, overlap_wh=64)(image)) > 1


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shapes that cross the middle to the right, one to the left; in the current folder, with a model."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(demo_model(), "yolov8n.onnx")
    return write(tmp_path / "traffic.avi", crossing()).rename(tmp_path / "traffic.mp4")


@pytest.mark.parametrize("tracker", ["bytetrack", "botsort"])
def test_lines_and_zones_count_tracks(sv: Any, tracker: str, video: Path) -> None:
    line = sv.LineZone(sv.Point(240, 0), sv.Point(240, 360))
    zone = sv.PolygonZone(np.array([(300, 0), (480, 0), (480, 360), (300, 360)]))
    crossed: dict[int, bool] = {}
    within = []
    for result in yolean.load("yolov8n.onnx", device="cpu").track(video, tracker):
        detections = sv.Detections.from_ultralytics(result)
        assert result.boxes is not None
        assert result.boxes.id is not None
        assert detections.tracker_id.tolist() == result.boxes.id.tolist()
        to_the_right, to_the_left = line.trigger(detections)
        for sides, answer in ((to_the_right, True), (to_the_left, False)):
            crossed |= dict.fromkeys(detections.tracker_id[sides].tolist(), answer)
        centres = result.boxes.xywh[:, 0]
        np.testing.assert_array_equal(zone.trigger(detections), np.rint(centres) >= 300)
        within.append(zone.current_count)
    assert (line.in_count, line.out_count) == (2, 1)
    assert sorted(crossed.values()) == [False, True, True]
    assert (within[0], within[15], within[-1]) == (1, 0, 2)


def test_the_counter_of_the_page(sv: Any, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "counting.md").read_text(encoding="utf-8")
    (counter,) = [block for block in page.split("```text\n")[1:] if "LineZone" in block]
    counter = counter.partition("```")[0]
    assert len(counter.splitlines()) <= 15
    exec(compile(counter, "counting.md", "exec"), {})
    assert capsys.readouterr().out == "2 to the right, 1 to the left, 3 have been in the zone\n"


def test_frames_without_tracks_have_no_ids(sv: Any) -> None:
    model = yolean.load(demo_model(), device="cpu")
    for result in (model.track(np.zeros((64, 64, 3), np.uint8), persist=True)[0], found("detect")):
        assert sv.Detections.from_ultralytics(result).tracker_id is None
