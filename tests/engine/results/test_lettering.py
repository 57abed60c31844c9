"""Text can be read on every colour, and names are written in characters that OpenCV has."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from yolean.engine.results.lettering import ink_on, name_of
from yolean.engine.results.palette import colour


def test_text_is_readable_on_every_colour() -> None:
    for class_id in range(20):

        def luminance(bgr: tuple[int, int, int]) -> float:
            linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 255 / 12.92 for c in bgr]
            return float(np.dot(linear, (0.0722, 0.7152, 0.2126)))

        tint = colour(class_id)
        dark, light = sorted((luminance(tint), luminance(ink_on(tint))))
        assert (light + 0.05) / (
            dark + 0.05
        ) > 3.9  # WCAG asks 3 for large or bold text, 4.5 for a page of prose


@pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="OpenCV 4 writes ASCII only")
@pytest.mark.parametrize(
    ("name", "shown"), [("自転車", "自転車"), ("café?", "café?"), ("จักรยาน", "class 7"), ("🐶", "class 7")]
)
def test_names_that_opencv_5_can_write(name: str, shown: str) -> None:
    assert name_of({7: name}, 7) == shown
