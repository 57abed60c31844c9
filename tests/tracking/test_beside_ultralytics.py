"""Ids, boxes and scores of tracking beside the real Ultralytics, which tracks with the same ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from moving_shapes import Truth, moving, shaken, write
from numpy.typing import NDArray
from yolean.models import demo_images

pytestmark = pytest.mark.export
PLAIN = Path(__file__).parents[1] / "golden" / "plain"
STEMS = {"detect": "shapes", "segment": "shapes-seg", "pose": "shapes-pose", "obb": "shapes-obb"}
IOU = 0.45
PIXELS, SCORE = 0.5, 0.01
BOTH = pytest.mark.parametrize("tracker", ["bytetrack", "botsort"])


@dataclass(frozen=True)
class Tracks:
    """The objects of a frame that have ids."""

    ids: list[int]
    boxes: NDArray[np.float64]  # (N, 4) x1, y1, x2, y2, or (N, 8) corners of oriented boxes
    classes: list[int]


@pytest.fixture(scope="module")
def ultralytics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Iterable[Any]]]:
    """Tracks a video with Ultralytics, which keeps its settings in a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("settings")))
        patch.setenv("YOLO_OFFLINE", "true")
        from ultralytics import YOLO

        def track(task: str, video: Path, tracker: str) -> Iterable[Any]:
            path = PLAIN / f"{STEMS[task]}.onnx"
            height, width = yolean.load(path, device="cpu").spec.imgsz
            found: Iterable[Any] = YOLO(str(path), task=task).track(
                str(video),
                tracker=f"{tracker}.yaml",
                iou=IOU,
                imgsz=[height, width],
                stream=True,
                device="cpu",
                verbose=False,
            )
            return found

        yield track


def ours(task: str, video: Path, tracker: str) -> Iterable[yolean.Results]:
    model = yolean.load(PLAIN / f"{STEMS[task]}.onnx", device="cpu")
    return model.track(video, tracker, iou=IOU)


def tracks(result: Any) -> Tracks:
    """Of a result of either."""
    objects = result.boxes if result.obb is None else result.obb
    if objects.id is None:
        return Tracks([], np.zeros((0, 4)), [])
    corners = objects.xyxy if result.obb is None else objects.xyxyxyxy.reshape(-1, 8)
    ids, classes = (np.asarray(column).astype(int).tolist() for column in (objects.id, objects.cls))
    return Tracks(ids, np.asarray(corners, np.float64), classes)


def same_corners(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The greatest distance, in pixels; oriented boxes may begin with the opposite corner."""
    turns = (one, np.roll(one, 4)) if len(one) == 8 else (one,)
    return min(float(np.abs(turn - other).max()) for turn in turns)


@BOTH
@pytest.mark.parametrize("task", list(STEMS))
def test_a_shaken_video_has_the_same_tracks(
    task: str, tracker: str, ultralytics: Callable[..., Iterable[Any]], tmp_path: Path
) -> None:
    image = cv2.imread(str(next(path for path in demo_images() if path.stem == "shapes")))
    video = write(tmp_path / "shaken.avi", shaken(np.asarray(image, np.uint8)))
    names: dict[int, int] = {}  # our ids, by theirs
    seen = 0
    for theirs, found in zip(ultralytics(task, video, tracker), ours(task, video, tracker), strict=True):
        expected, mine = tracks(theirs), tracks(found)
        assert len(mine.ids) == len(expected.ids)
        rows = {names.setdefault(their, my): row for their, my, row in pairs(expected, mine)}
        assert sorted(rows) == sorted(mine.ids)
        for row, my in enumerate(mine.ids):
            assert same_corners(mine.boxes[row], expected.boxes[rows[my]]) <= PIXELS
            assert mine.classes[row] == expected.classes[rows[my]]
        same_parts(theirs, found, [rows[my] for my in mine.ids])
        seen += len(mine.ids)
    assert len(set(names.values())) == len(names) >= 3
    assert seen > 20


def pairs(expected: Tracks, mine: Tracks) -> Iterator[tuple[int, int, int]]:
    """Their id and ours of each of their objects, which are ours in the nearest place; and its row."""
    for row, their in enumerate(expected.ids):
        nearest = min(range(len(mine.ids)), key=lambda at: same_corners(mine.boxes[at], expected.boxes[row]))
        yield their, mine.ids[nearest], row


def same_parts(theirs: Any, found: yolean.Results, rows: list[int]) -> None:
    """Masks and keypoints of both follow the same boxes."""
    if found.keypoints is not None and rows:
        points = np.asarray(theirs.keypoints.data)[rows]
        np.testing.assert_allclose(np.asarray(found.keypoints.data), points, atol=PIXELS)
    if found.masks is not None and rows:
        for mine, row in zip(found.masks.xy, rows, strict=True):
            box = np.concatenate((mine.min(0), mine.max(0)))
            other = theirs.masks.xy[row]
            np.testing.assert_allclose(box, np.concatenate((other.min(0), other.max(0))), atol=2)


@BOTH
def test_scores_of_known_tracks_are_as_good(
    tracker: str, ultralytics: Callable[..., Iterable[Any]], tmp_path: Path
) -> None:
    frames, truth = moving()
    video = write(tmp_path / "moving.avi", frames)
    mine = scores(truth, [tracks(result) for result in ours("detect", video, tracker)])
    theirs = scores(truth, [tracks(result) for result in ultralytics("detect", video, tracker)])
    print({name: (round(mine[name], 4), round(theirs[name], 4)) for name in mine})
    assert mine == pytest.approx(theirs, abs=SCORE)
    assert min(mine.values()) > 0.6
    assert max(mine.values()) < 1  # neither trivial nor hopeless


def scores(truth: list[Truth], found: list[Tracks]) -> dict[str, float]:
    """HOTA, MOTA and IDF1, 0 to 1, as TrackEval computes them."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    numbers = {name: row for row, name in enumerate(sorted({i for frame in found for i in frame.ids}))}
    data: dict[str, Any] = {
        "num_timesteps": len(truth),
        "num_gt_dets": sum(len(frame.ids) for frame in truth),
        "num_tracker_dets": sum(len(frame.ids) for frame in found),
        "num_gt_ids": len({int(i) for frame in truth for i in frame.ids}),
        "num_tracker_ids": len(numbers),
        "gt_ids": [frame.ids for frame in truth],
        "tracker_ids": [np.array([numbers[i] for i in frame.ids], np.int64) for frame in found],
        "similarity_scores": [
            iou(known.boxes, frame.boxes) for known, frame in zip(truth, found, strict=True)
        ],
    }
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}
    return {
        "HOTA": float(np.mean(HOTA().eval_sequence(data)["HOTA"])),
        "MOTA": float(CLEAR(quiet).eval_sequence(data)["MOTA"]),
        "IDF1": float(Identity(quiet).eval_sequence(data)["IDF1"]),
    }


def iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) of x1, y1, x2, y2."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod((high - low).clip(0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    return np.asarray(shared / (areas[0][:, None] + areas[1] - shared), np.float64)
