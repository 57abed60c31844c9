"""Two models scored on a labelled dataset: what a file that changes the answers costs in mAP."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engine.errors import InputError
from ...engine.pipeline import Engine
from ...validation.opening import open_dataset
from ...validation.validator import val
from ..progress import OnProgress
from .average_precision import objects_needed


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """The scores of a source and of the file made of it.

    Attributes:
        data: the dataset.
        images: number of images.
        labels: number of labelled objects; of images for classification and maps.
        figure: name of the figure that decides: mAP50-95 of boxes, masks or keypoints, or top-1.
        before: of the source, 0 to 1.
        after: of the file.
        before_all, after_all: all figures, by Ultralytics' names.
    """

    data: str
    images: int
    labels: int
    figure: str
    before: float
    after: float
    before_all: dict[str, float]
    after_all: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def problems(self, least: float) -> list[str]:
        """Why the file is refused: it keeps less than the share `least` of the source's score."""
        if not self.before:
            return [f"the source has a {self.figure} of 0 on {self.data}: its labels do not fit the model"]
        if self.after >= least * self.before:
            return []
        share = self.after / self.before
        return [
            f"{self.figure} falls from {self.before:.4f} to {self.after:.4f}, {share:.3f} of the source's, "
            f"less than {least:g}"
        ]

    def notes(self, least: float) -> list[str]:
        """What the dataset cannot show."""
        needed = objects_needed(least)
        if self.labels >= needed:
            return []
        return [f"{self.labels} labels are too few for a verdict on {least:g}, which needs {needed}"]


def compare_on_labels(source: Engine, made: Engine, data: Path, on_progress: OnProgress) -> LabelledScores:
    """Score both on the validation split of a dataset, as `yolean val` does.

    Raises:
        InputError: the dataset is not usable.
    """
    reports = []
    for engine, word in ((source, "the source"), (made, "the file")):

        def progress(stage: str, done: int, total: int, word: str = word) -> None:
            on_progress(f"{stage} {word}", done, total)

        reports.append(val(engine, data, on_progress=progress))
    before, after = reports
    figure, score = before.headline
    return LabelledScores(
        data=str(data),
        images=before.images,
        labels=before.images if source.spec.layout.is_dense else int(before.instances.sum()),
        figure=figure,
        before=score,
        after=after.headline[1],
        before_all=before.results_dict,
        after_all=after.results_dict,
    )


def images_to_calibrate(data: Path, source: Engine) -> tuple[list[Path], list[str]]:
    """The training images of a dataset; where they are not there, those of the validation, with a note.

    Raises:
        InputError: the dataset is not usable.
    """
    try:
        dataset, notes = open_dataset(data, source.spec, "train"), list[str]()
    except InputError:
        dataset = open_dataset(data, source.spec, "val")
        notes = ["calibrated on images that it is scored on: the dataset has no others, which flatters it"]
    return [sample.image for sample in dataset.samples], notes
