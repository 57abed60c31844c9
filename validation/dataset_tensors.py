"""The size of the tensor that each image of a dataset is run in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..engine.errors import InputError
from ..engine.images.preprocessing import check_size
from ..engine.pipeline import Engine
from ..postprocess.types import Size
from .datasets import Dataset, Sample
from .model_runs import Check, Skipped, check_nothing, sizes_of
from .placement import RECTANGLE_MARGIN, rectangles

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the current stage, the number of its images that are done, and their total."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """The images that can be read, each with the size of its tensor.

    Attributes:
        sizes: of the tensors.
        limit: pixels of the longer side of an image.
        rect: whether they are rectangles that a batch of images shares.
        imgsz: the limit for rectangles, else height and width of all.
    """

    sizes: list[tuple[Sample, Size]]
    limit: int
    rect: bool
    imgsz: int | list[int]


def tensors_of(
    engine: Engine,
    dataset: Dataset,
    imgsz: int | tuple[int, int] | None,
    rect: bool,
    batch: int,
    on_progress: OnProgress,
    check: Check = check_nothing,
) -> Tensors:
    """Decide the sizes as Ultralytics does.

    Args:
        engine: the model.
        dataset: images that cannot be used are noted in its findings.
        imgsz: as in a call of the model.
        rect: whether models with free height and width run on rectangles. RT-DETR and depth models stretch
            images to squares.
        batch: number of images that share a rectangle.
        on_progress: called while the images are read, for rectangles.
        check: called with each image and its size then; images for which it raises `InputError` are left out.

    Raises:
        InputError: `imgsz` is wrong, or no image can be used.
    """
    size = check_size(imgsz, engine.spec)
    limit = max(size)
    stretched = engine.spec.layout.kind == "rtdetr" or engine.task == "depth"
    if not engine.spec.dynamic or not rect or stretched:
        return Tensors([(sample, size) for sample in dataset.samples], limit, False, list(size))
    sizes: list[Size] = []
    samples: list[Sample] = []
    for done, (sample, found) in enumerate(
        zip(dataset.samples, sizes_of(engine, dataset.samples, check), strict=True)
    ):
        on_progress("reading sizes", done, len(dataset.samples))
        if isinstance(found, Skipped):
            dataset.findings.skipped[str(sample.image)] = found.reason
            continue
        sizes.append(found)
        samples.append(sample)
    if not samples:
        raise nothing_usable(dataset)
    margin = 0.0 if engine.task == "semantic" else RECTANGLE_MARGIN
    order, shapes = rectangles(sizes, limit, engine.spec.stride, batch, margin)
    shared = [(samples[index], shape) for index, shape in zip(order, shapes, strict=True)]
    return Tensors(shared, limit, True, limit)


def nothing_usable(dataset: Dataset) -> InputError:
    """The error of a dataset whose images are all left out."""
    example = next(iter(dataset.findings.skipped.values()))
    return InputError(f"{dataset.source}: not one image can be used, the first because: {example}")
