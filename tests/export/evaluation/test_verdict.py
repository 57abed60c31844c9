from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from yolean.engine.results.views import Boxes
from yolean.export.evaluation.verdict import compare
from yolean.postprocess.types import Size


def detected(scores: list[float], shift: float = 0.0) -> Any:
    """Boxes in a row with these scores."""
    lefts = 20 * np.arange(len(scores), dtype=np.float32)
    boxes = np.stack([lefts + shift, 0 * lefts, lefts + 10 + shift, 0 * lefts + 10], axis=1)
    size = Size(100, 2000)
    view = Boxes(boxes, np.array(scores, np.float32), np.zeros(len(scores), np.int64), size)
    return SimpleNamespace(orig_shape=size, boxes=view, obb=None, masks=None, keypoints=None, probs=None)


def classified(*probs: float) -> Any:
    views = dict.fromkeys(("boxes", "obb", "masks", "keypoints"))
    return SimpleNamespace(orig_shape=(9, 9), probs=SimpleNamespace(data=np.array(probs)), **views)


MANY = [(detected([0.9] * 20), detected([0.9] * 20))] * 3


def test_equal_answers_in_enough_images() -> None:
    found = compare(iter(MANY), 0.95)
    assert (found.problems, found.notes) == ([], [])
    assert found.quality is not None
    assert (found.quality.ap50, found.agreement.recall) == (1.0, 1.0)


def test_objects_that_cross_the_threshold_do_not_decide() -> None:
    """A fifth of the recall is gone, and next to nothing has changed."""
    scores = [0.9] * 16 + [0.255] * 4
    found = compare([(detected(scores), detected([0.9] * 16 + [0.245] * 4))] * 3, 0.95)
    assert found.agreement.recall == pytest.approx(0.8)
    assert found.problems == []


def test_lost_objects_are_refused() -> None:
    lost = [(detected([0.9] * 20), detected([0.9] * 18))] * 3
    assert compare(lost, 0.95).problems == [
        "average precision against the source is 0.900 at IoU 0.5, less than 0.95"
    ]
    assert compare(lost, 0.9).problems == []


def test_scores_that_change_are_refused() -> None:
    """The order of the objects is the same, so average precision sees nothing."""
    found = compare([(detected([0.9] * 20), detected([0.8] * 20))] * 3, 0.95)
    assert found.problems == ["scores differ from the source's by 0.100 (root mean square), more than 0.05"]


def test_few_objects_give_no_verdict_unless_it_is_plain() -> None:
    note = "17 objects are too few for a verdict on 0.95, which needs 60: add images"
    found = compare([(detected([0.9] * 17), detected([0.9] * 16))], 0.95)
    assert (found.problems, found.notes) == ([], [note])
    found = compare([(detected([0.9] * 17), detected([0.9] * 8))], 0.95)
    assert found.notes == [note]
    assert found.problems == ["average precision against the source is 0.471 at IoU 0.5, less than 0.95"]
    single = compare([(detected([0.9]), detected([0.9]))], 0.95).notes
    assert single == ["1 object is too few for a verdict on 0.95, which needs 60: add images"]


def test_images_in_which_nothing_is_found() -> None:
    nothing = detected([])
    assert compare([(nothing, nothing)], 0.95).problems == [
        "neither file finds an object in the images, so nothing tells how they agree"
    ]
    assert compare([(nothing, detected([0.9]))], 0.0).problems == [
        "it finds objects in images where the source finds none"
    ]


def test_classifiers_are_held_to_their_best_classes() -> None:
    same, other = (classified(0.9, 0.1), classified(0.8, 0.2)), (classified(0.9, 0.1), classified(0.1, 0.9))
    found = compare([same] * 9 + [other], 0.95)
    assert found.quality is None
    assert found.problems == ["top-1 against the source is 0.900, less than 0.95"]
    assert found.notes == ["10 images are too few for a verdict on 0.95, which needs 60: add images"]
    assert compare([same] * 60, 0.95).notes == []
