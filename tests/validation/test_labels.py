"""Label files: what is read, and what is refused as Ultralytics refuses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from yolean.validation.labels import LabelError, read_labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("4 0.5 0.5 0.2 0.2", "class 4 is beyond the names of the dataset, 0 to 3"),
        ("0.5 0.5 0.5 0.2 0.2", "whole numbers"),
        ("0 0.5 0.5 0.2", "expected 5 columns, found 4"),
        ("0 0.5 0.5 0.2 1.2", "from 0 to 1, found 1.2"),
        ("0 0.5 0.5 0.2 -0.2", "from 0 to 1"),
        ("0 a 0.5 0.2 0.2", "something else than numbers"),
        ("0 nan 0.5 0.2 0.2", "not finite"),
        ("0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2", "different numbers of columns"),
        ("0 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.2 0.1 0.2 0.2", "mixed"),
    ],
)
def test_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LabelError, match=words):
        read_labels(file, "detect", 4, None)


def test_keypoints_that_do_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("0 0.5 0.5 0.2 0.2 0.5 0.5 2", encoding="utf-8")
    with pytest.raises(LabelError, match=r"expected 20 columns for kpt_shape \[5, 3\], found 8"):
        read_labels(file, "pose", 1, (5, 3))
    # A task without keypoints reads the box of such rows where they fit.
    assert len(read_labels(file, "detect", 1, (1, 3))) == 1


def test_outlines_become_boxes_and_rows_that_are_there_twice_count_once(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\ufeff" + "1 0.1 0.2 0.5 0.2 0.5 0.8\n\n" * 2, encoding="utf-8")
    labels = read_labels(file, "detect", 4, None)
    np.testing.assert_allclose(labels.boxes, [[0.3, 0.5, 0.4, 0.6]], atol=1e-6)
    assert labels.classes.tolist() == [1]
    assert labels.duplicates == 1


def test_points_without_visibility_are_labelled_where_they_are_not_negative(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("0 0.5 0.5 0.2 0.2 0.5 0.5 -0.005 0.5", encoding="utf-8")
    labels = read_labels(file, "pose", 1, (2, 2))
    assert labels.keypoints is not None
    assert labels.keypoints[0, :, 2].tolist() == [1, 0]
