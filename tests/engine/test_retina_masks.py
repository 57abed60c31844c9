"""Masks at the size of the image, beside those of the real Ultralytics on the same file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean

SHARED = Path(os.environ.get("YOLEAN_SHARED", Path(__file__).resolve().parents[3] / "shared"))


@pytest.mark.export
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models and images are not there")
def test_masks_are_those_of_ultralytics() -> None:
    from ultralytics import YOLO

    path = SHARED / "models" / "yolov8n-seg.onnx"
    ours, theirs = yolean.load(path, device="cpu"), YOLO(str(path), task="segment")
    image = cv2.imread(str(SHARED / "images" / "bus.jpg"))
    assert image is not None
    pictures: list[Any] = [image, np.ascontiguousarray(image[300:800]), cv2.resize(image, (333, 501))]
    for picture in pictures:
        (found,) = ours(picture, retina_masks=True)
        (wanted,) = theirs.predict(
            picture, retina_masks=True, conf=0.25, iou=0.45, device="cpu", verbose=False
        )
        assert found.masks is not None
        masks = wanted.masks.data.cpu().numpy()
        assert found.masks.data.shape == masks.shape == (len(masks), *picture.shape[:2])
        assert len(masks) >= 2
        for own, other in zip(found.masks.data.astype(bool), masks.astype(bool), strict=True):
            assert np.count_nonzero(own ^ other) <= 0.001 * np.count_nonzero(other)
