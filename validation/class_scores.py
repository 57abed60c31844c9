"""Scores of the classes for one kind of overlap, with the names of Ultralytics' `Metric`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..postprocess.types import Int
from .precision_recall import Curves, Float64


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Average precision, precision and recall of C classes: those that have labels.

    Attributes:
        curves: of these classes.
        nc: number of all classes.
    """

    curves: Curves
    nc: int

    @property
    def all_ap(self) -> Float64:
        """(C, 10) average precision at the overlaps 0.5, 0.55, ..., 0.95."""
        return self.curves.ap

    @property
    def ap_class_index(self) -> Int:
        """(C,) class ids."""
        return self.curves.classes

    @property
    def ap50(self) -> Float64:
        """(C,) average precision at the overlap 0.5."""
        return self.all_ap[:, 0]

    @property
    def ap(self) -> Float64:
        """(C,) mean of the average precisions over all overlaps."""
        result: Float64 = self.all_ap.mean(axis=1)
        return result

    @property
    def p(self) -> Float64:
        """(C,) precision at the confidence where the mean F1 is best."""
        return self.curves.precision

    @property
    def r(self) -> Float64:
        """(C,) recall there."""
        return self.curves.recall

    @property
    def f1(self) -> Float64:
        """(C,) F1 there."""
        return self.curves.f1

    @property
    def mp(self) -> float:
        """Mean precision."""
        return _mean(self.p)

    @property
    def mr(self) -> float:
        """Mean recall."""
        return _mean(self.r)

    @property
    def map50(self) -> float:
        """mAP50: mean over the classes at the overlap 0.5."""
        return _mean(self.ap50)

    @property
    def map75(self) -> float:
        """Mean over the classes at the overlap 0.75."""
        return _mean(self.all_ap[:, 5])

    @property
    def map(self) -> float:
        """mAP50-95: mean over the classes and all overlaps."""
        return _mean(self.all_ap)

    @property
    def maps(self) -> Float64:
        """(nc,) mAP50-95 of every class; the mean for those without labels."""
        result = np.full(self.nc, self.map)
        result[self.ap_class_index] = self.ap
        return result

    def mean_results(self) -> list[float]:
        """Mean precision, mean recall, mAP50 and mAP50-95."""
        return [self.mp, self.mr, self.map50, self.map]

    def class_result(self, row: int) -> tuple[float, float, float, float]:
        """Precision, recall, AP50 and AP50-95 of the class in a row of `ap_class_index`."""
        return float(self.p[row]), float(self.r[row]), float(self.ap50[row]), float(self.ap[row])

    def as_dict(self) -> dict[str, float]:
        """The means, ready for JSON."""
        return {
            "precision": _rounded(self.mp),
            "recall": _rounded(self.mr),
            "map50": _rounded(self.map50),
            "map75": _rounded(self.map75),
            "map50_95": _rounded(self.map),
            "confidence": _rounded(self.curves.confidence),
        }

    def row_as_dict(self, row: int) -> dict[str, float]:
        """The scores of one class, ready for JSON."""
        names = ("precision", "recall", "ap50", "ap50_95")
        return {name: _rounded(value) for name, value in zip(names, self.class_result(row), strict=True)}


def _mean(values: Float64) -> float:
    return float(values.mean()) if values.size else 0.0


def _rounded(value: float) -> float:
    return round(float(value), 5)
