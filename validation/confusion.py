"""Confusion matrix: what labelled objects were taken for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..postprocess.types import Float, Int

CONF, IOU = 0.25, 0.45
"""Least score and overlap of a prediction that counts. Fainter predictions, of which mAP needs all, would
make nearly everything background."""


class ConfusionMatrix:
    """Counts pairs of predicted and true class; where there is no partner, that is background.

    Attributes:
        names: class names, `background` last where there is one.
        matrix: (C, C) counts [predicted, true] of the names.
    """

    def __init__(self, names: Sequence[str], background: bool = True) -> None:
        """Begin to count.

        Args:
            names: of the classes, by id.
            background: whether objects are detected, and may have no partner.
        """
        self.names = [*names, *(["background"] if background else [])]
        self.matrix: NDArray[np.int64] = np.zeros((len(self.names), len(self.names)), np.int64)

    def add(self, predicted: Int, true: Int) -> None:
        """Count pairs of class ids (N,); -1 is background."""
        np.add.at(self.matrix, (predicted, true), 1)


def confused(labels: Int, classes: Int, scores: Float, overlaps: Float, conf: float) -> tuple[Int, Int]:
    """What the objects of one image were taken for.

    In the order of their scores, predictions take the free label that they overlap most, of whatever class.

    Args:
        labels: (N,) class ids.
        classes: (M,) class ids of the predictions, by descending score.
        scores: (M,).
        overlaps: (N, M).
        conf: least score.

    Returns:
        pairs of predicted and true class ids, -1 for no partner.
    """
    number = int((scores > conf).sum())
    overlaps = overlaps[:, :number].copy()
    true = np.full(number, -1, np.int64)
    free = np.ones(len(labels), np.bool_)
    for column in range(number if len(labels) else 0):
        row = int(overlaps[:, column].argmax())
        if overlaps[row, column] > IOU:
            true[column], free[row], overlaps[row] = labels[row], False, 0
    missed = labels[free]
    predicted = np.concatenate((classes[:number], np.full(len(missed), -1, np.int64)))
    return predicted, np.concatenate((true, missed))
