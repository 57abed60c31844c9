"""Records of `peers` and `parity`: what models cost and answer, compared with other systems."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from ..measurement.summary import Quartiles, paired_ratios, quartiles
from .record_base import NotMeasured, PerformanceTarget, Record, Struct


class PeersSettings(Struct):
    """Attributes: threads of one run; interleaved repetitions, each once through all images; fresh processes
    a system; names of the images; thresholds."""

    threads: int
    repetitions: int
    cold_starts: int
    images: list[str]
    conf: float
    iou: float
    max_det: int


class AnswerDifferences(Struct):
    """How far a system's answers differ from the reference's over all images.

    Attributes:
        reference: the system whose answers are the reference.
        images, objects: number of images, and of the reference's objects in them.
        matched, missing, extra: objects found by both, by the reference only, by the system only.
        box, keypoints: largest difference of a coordinate in pixels; None where the task has none.
        score, visibility, probs: largest difference, 0 to 1.
        mask: largest 1 - IoU.
        other_class: largest share of an image's pixels that have another class.
        depth: largest relative difference. Both are unset for other tasks.
    """

    reference: str
    images: int
    objects: int
    matched: int
    missing: int
    extra: int
    box: float | None
    score: float | None
    keypoints: float | None
    visibility: float | None
    mask: float | None
    probs: float | None
    other_class: float | UnsetType = UNSET
    depth: float | UnsetType = UNSET


class SystemResult(Struct):
    """One system under test on one model.

    Attributes:
        system: its name.
        repetitions: milliseconds an image, from BGR array to answer, of each interleaved repetition in order.
        cold_seconds: from starting Python to the first answer, of each fresh process.
        cold_peak_mb: peak memory of these processes by then, MiB.
        differences: None where answers were not compared.
        load_ms, warm_up_ms, warm_ups: loading, all warm-up runs together, and how many these were.
        peak_mb: largest resident memory of the process, MiB.
        installed_mb: size of the distributions it needs, MB.
        versions: of these distributions.
        details: provider and precision, where the runtime reports them.
    """

    system: str
    repetitions: list[float]
    cold_seconds: list[float]
    cold_peak_mb: list[float]
    differences: AnswerDifferences | None
    load_ms: float
    warm_up_ms: float
    warm_ups: int
    peak_mb: float | None
    installed_mb: float
    versions: dict[str, str]
    details: dict[str, str]

    @property
    def milliseconds(self) -> Quartiles:
        """An image, over the repetitions."""
        return quartiles(self.repetitions)


class HeldOutAgreement(Struct):
    """Means over the images that were held out of calibration; see `export.evaluation.agreement`."""

    images: int
    objects: int | None
    recall: float | None
    precision: float | None
    mean_iou: float | None
    confidence_change: float | None
    mask_iou: float | None
    keypoint_distance: float | None
    corner_distance: float | None
    top1: float | None
    score: float


class OptimizedFile(Struct):
    """What `yolean optimize` reported of a lean or an INT8 file.

    Attributes:
        kind: of file.
        bytes: of the source and of the file.
        agreement: with the source; None where the two were compared exactly.
        problems: why `yolean optimize` refuses the file unless `--force` is given; empty where it does not.
        notes: what is no fault.
        details: how it was calibrated.
    """

    kind: Literal["lean", "int8"]
    bytes: tuple[int, int]
    agreement: HeldOutAgreement | None
    problems: list[str]
    notes: list[str]
    details: dict[str, str]


class FolderSystem(Struct):
    """A system on a folder of images.

    Attributes:
        system: its name.
        seconds: of each interleaved repetition in order, from files to answers.
        objects: that it found in all images.
    """

    system: str
    seconds: list[float]
    objects: int


class FolderResult(Struct):
    """The systems that run folders on one of so many images."""

    images: int
    systems: list[FolderSystem]

    def rate(self, name: str) -> Quartiles | None:
        """Images a second of a system; None where it was not measured."""
        found = self._find(name)
        return None if found is None else quartiles(self.images / seconds for seconds in found.seconds)

    def ratio(self, name: str, other: str) -> Quartiles | None:
        """Images a second of a system divided by another's, by repetition."""
        one, two = self._find(name), self._find(other)
        return paired_ratios(two.seconds, one.seconds) if one and two else None

    def _find(self, name: str) -> FolderSystem | None:
        return next((each for each in self.systems if each.system == name), None)


class ModelResult(Struct, omit_defaults=True):
    """All systems on one model; `imgsz` is height and width, `layout` the kind of its outputs."""

    model: str
    task: str
    imgsz: tuple[int, int]
    layout: str
    systems: list[SystemResult]
    not_measured: list[NotMeasured]
    optimized: list[OptimizedFile]
    folder: FolderResult | None = None

    def system(self, name: str) -> SystemResult | None:
        """The result of a system; None where it was not measured."""
        return next((each for each in self.systems if each.system == name), None)

    def ratio(self, name: str, other: str) -> Quartiles | None:
        """Time of a system divided by another's, by repetition; None where one of them was not measured."""
        one, two = self.system(name), self.system(other)
        return paired_ratios(one.repetitions, two.repetitions) if one and two else None


class PeersRecord(Record, tag_field="scenario", tag="peers", kw_only=True):
    """yolean and other ways to run the same models."""

    settings: PeersSettings
    models: list[ModelResult]
    targets: list[PerformanceTarget]


class Tolerances(Struct):
    """What equal means: most pixels, most of a score, least IoU of filled outlines."""

    pixels: float = 1.0
    score: float = 2e-3
    mask: float = 0.97


class ParitySettings(Struct):
    """Tolerances, and how the models were loaded."""

    tolerances: Tolerances
    device: str
    threads: int | None
    precision: str | None


class Worst(Struct):
    """The largest difference of a kind (for masks the least IoU), None where it is not finite, and where."""

    value: float | None
    image: str


class AtThreshold(Struct):
    """An object found by one of the two, whose score is within the tolerance of the threshold."""

    image: str
    score: float
    found_by: str


class ModelParity(Struct):
    """One model's answers compared with the reference's.

    Attributes:
        model, task, layout, provider, device, threads: what ran.
        reference_version: of Ultralytics; None where the reference file does not hold it.
        images, agree: images compared, and those within the tolerances.
        objects: of the reference; None for tasks without objects.
        missing, extra: objects found by one of the two only, those at the threshold not counted.
        at_threshold: those.
        worst: by kind of difference.
        top1, top5: images with the same best class, and with the same five; None unless classify.
        disagreeing: by image, the kinds of difference beyond the tolerances.
        absent: images of the reference that are not in the folder.
    """

    model: str
    task: str
    layout: str
    provider: str
    device: str
    threads: int
    reference_version: str | None
    images: int
    agree: int
    objects: int | None
    missing: int
    extra: int
    at_threshold: list[AtThreshold]
    worst: dict[str, Worst]
    top1: int | None
    top5: int | None
    disagreeing: dict[str, list[str]]
    absent: list[str]


class ParityRecord(Record, tag_field="scenario", tag="parity", kw_only=True):
    """Answers compared with Ultralytics'; by file, why there is no reference or no comparison."""

    settings: ParitySettings
    models: list[ModelParity]
    no_reference: dict[str, str]
    not_compared: dict[str, str]
