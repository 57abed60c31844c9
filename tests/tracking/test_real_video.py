"""Tracks of a real video against those of Ultralytics: both from `../shared`, as for the golden tests."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yolean

SHARED = Path(os.environ.get("YOLEAN_SHARED", Path(__file__).resolve().parents[3] / "shared"))
REFERENCE = SHARED / "reference" / "video"
PIXELS, SCORE = 0.5, 2e-3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"needs real videos and their tracks: no {REFERENCE}"),
]


@pytest.mark.parametrize("tracker", ["bytetrack", "botsort"])
def test_tracks_equal_ultralytics(tracker: str) -> None:
    expected = json.loads((REFERENCE / f"bikes-{tracker}.json").read_text())
    model = yolean.load(SHARED / "models" / expected["model"], device="cpu")
    found = model.track(
        SHARED / "videos" / expected["video"], tracker, conf=expected["conf"], iou=expected["iou"]
    )
    names: dict[int, int] = {}  # our ids, by theirs
    for result, frame in zip(found, expected["frames"], strict=True):
        assert result.boxes is not None
        assert len(result.boxes) == len(frame["cls"])
        ids = [] if result.boxes.id is None else result.boxes.id.tolist()
        assert len(ids) == len(frame["ids"])
        if not len(result.boxes):
            continue
        boxes, others = np.asarray(result.boxes.xyxy), np.array(frame["xyxy"])
        apart = np.abs(boxes[:, None] - others[None]).max(axis=2)
        rows = apart.argmin(axis=1)
        assert sorted(rows) == list(range(len(others)))
        assert apart.min(axis=1).max() <= PIXELS
        assert result.boxes.cls.tolist() == [frame["cls"][row] for row in rows]
        np.testing.assert_allclose(result.boxes.conf, np.array(frame["conf"])[rows], atol=SCORE)
        for mine, row in zip(ids, rows, strict=False):
            assert names.setdefault(frame["ids"][row], mine) == mine
    assert len(set(names.values())) == len(names) > 10
