"""Chooses how to quantise a model: the best calibration method, and the layers that stay in float."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ...engine.errors import InputError, ModelError
from ...engine.images.frames import Frame
from ...engine.loading import load
from ...engine.model.lean_metadata import KEY, entry
from ...engine.pipeline import Engine
from ...engine.results.results import Results
from ...postprocess.layout import Head
from ..evaluation.agreement import Agreement, agreement
from ..evaluation.average_precision import MIN_SCORE, QualityMeasurement
from ..evaluation.paired_results import CONF
from ..evaluation.predictions import Result, has_objects
from ..evaluation.speed import compare_speed
from ..evaluation.verdict import above_threshold
from ..graph.onnx_graph import Graph, set_metadata
from ..progress import OnProgress
from ..trial_images import read_images, spread
from .calibration import METHODS, Range, observe
from .layer_inputs import round_convolutions, second_moments
from .outliers import channel_maxima, split_outliers, unlimited_name, without_limits
from .predicted_time import affordable, multiplications, time_of_bytes
from .qdq import plan_quantisation, quantisation_parameters, quantise

_MAX_READ = 300
MAX_CALIBRATION_IMAGES = 100
VALIDATION_IMAGES = 16  # held in memory; the sensitivity pass takes half of them
_MIN_CLASS_LOGIT = -8.0  # scores below 0.0003 are of no use
FLOAT_LAYERS_TRIED = (2, 4, 8, 16, 24, 32, 48)  # numbers of the costliest layers
_MAX_LOSS_RATIO = 0.8  # of the loss must remain at most
_AS_GOOD = (
    1.05  # times the least loss: so little is noise, and more layers in float are better on other images
)


class Quantiser:
    """One float model on its way to eight bits.

    Attributes:
        model: the float model, cut and rewritten, with outlying channels split.
        head: of a lean model, else None.
        source: the engine that the results are compared with.
        validation: the source's results for some of the calibration images, on which methods are compared.
            The held-out set, for the final figures, is not among them.
        convolutions: outputs of those that can be quantised, in the order of the graph.
        multiplications: of each of them, for one input.
        rounded: their weights in steps.
    """

    def __init__(
        self, model: onnx.ModelProto, source: Engine, calibration: list[Path], on_progress: OnProgress
    ) -> None:
        """Observe the model on the calibration images."""
        self.source, self._on_progress = source, on_progress
        frames = read_images(spread(calibration, VALIDATION_IMAGES), source.spec.channels)
        self.validation = [source(frame.image, conf=MIN_SCORE)[0] for frame in frames]
        self._float = load(model.SerializeToString(), "cpu", threads=source.session.threads)
        self.head: Head | None = self._float.spec.layout.head
        chosen, threads = spread(calibration, MAX_CALIBRATION_IMAGES), source.session.threads

        def inputs() -> Iterator[NDArray[Any]]:
            for done, path in enumerate(chosen):
                on_progress("calibrating", done, len(chosen))
                yield from self._tensors([path])

        self.model, self._split = split_outliers(model, channel_maxima(model, inputs(), threads))
        quantised_form = without_limits(self.model, self._split)
        graph = Graph(quantised_form)
        planned = plan_quantisation(graph)
        self.convolutions = [node.output[0] for node in planned.convolutions]
        self._seen = observe(self.model, planned.measured, inputs, threads)
        on_progress("rounding weights", 0, 1)
        few = self._tensors(spread(calibration, VALIDATION_IMAGES))
        moments = second_moments(self.model, quantised_form, few, threads)
        first = next(self._tensors(chosen))
        self.multiplications = multiplications(quantised_form, self.convolutions, first, threads)
        self._classes = [name for name in graph.outputs if name.startswith("classes_")] if self.head else []
        tables = [quantisation_parameters(planned, self.ranges(method)) for method in METHODS]
        finest = {name: min(table[name].scale for table in tables) for name in tables[0]}
        self.rounded = round_convolutions(graph, planned.convolutions, moments, finest)

    def _tensors(self, images: Iterable[Path]) -> Iterator[NDArray[Any]]:
        """Input tensors of images; images that cannot be read are left out."""
        engine = self._float
        for frame in read_images(images, engine.spec.channels):
            placed = [engine.place(frame, engine.size())]
            yield engine.prepare(placed * (engine.spec.batch or 1)).tensor.array.copy()

    def ranges(self, method: str) -> dict[str, Range]:
        """Ranges of all tensors by a method of `METHODS`."""
        found = {name: METHODS[method](seen) for name, seen in self._seen.items()}
        for name in self._classes:
            found[name] = max(found[name][0], _MIN_CLASS_LOGIT), max(found[name][1], 1.0)
        return found

    def make(self, method: str, keep: Iterable[str] = ()) -> onnx.ModelProto:
        """The quantised model, without the convolutions to keep in float."""
        kept = frozenset(keep)
        form = without_limits(self.model, [name for name in self._split if name not in kept])
        unlimited = {unlimited_name(name) for name in self._split if name in kept}
        made = quantise(form, self.ranges(method), kept | unlimited, self.rounded)
        set_metadata(made, KEY, entry(self.head, "int8"))
        return made

    def engine(self, made: onnx.ModelProto) -> Engine:
        """Load a model that `make` gave."""
        return load(made.SerializeToString(), "cpu", threads=self.source.session.threads)

    def loss(self, made: onnx.ModelProto, validation: list[Results] | None = None) -> float:
        """The loss of a model that `make` gave, see the function `loss`."""
        engine, measurement = self.engine(made), QualityMeasurement()

        def pairs() -> Iterator[tuple[Result, Result]]:
            for one in validation or self.validation:
                other = engine(one.orig_img, conf=MIN_SCORE)[0]
                if has_objects(one):
                    measurement.add(one, other)
                yield above_threshold(one), above_threshold(other)

        found = agreement(pairs())
        return loss(found, None if found.objects is None else measurement.loss())

    def best_method(self) -> tuple[str, dict[str, float]]:
        """The method with the least loss, and the losses of all."""
        losses = {}
        for done, method in enumerate(METHODS):
            self._on_progress("comparing calibration methods", done, len(METHODS))
            losses[method] = self.loss(self.make(method))
        return min(losses, key=losses.__getitem__), losses

    def sensitivity(self, method: str) -> dict[str, float]:
        """The loss of quantising one convolution alone, for each, the costliest first."""
        validation = spread(self.validation, VALIDATION_IMAGES // 2)
        losses = {}
        for done, name in enumerate(self.convolutions):
            self._on_progress("measuring the sensitivity of each layer", done, len(self.convolutions))
            others = [other for other in self.convolutions if other != name]
            losses[name] = self.loss(self.make(method, others), validation)
        return dict(sorted(losses.items(), key=lambda pair: -pair[1]))

    def worth_keeping_in_float(self, method: str, before: float) -> list[str]:
        """The convolutions to leave in float.

        The costliest ones that may cost their time are tried, more and more of them. They stay in float if
        that removes at least a fifth of the loss.

        Args:
            before: the loss with all convolutions quantised.
        """
        costly = affordable(list(self.sensitivity(method)), self.multiplications, time_of_bytes())
        costly = costly[: FLOAT_LAYERS_TRIED[-1]]
        best: list[str] = []
        least = before
        numbers = [number for number in FLOAT_LAYERS_TRIED if number < len(costly)] + [len(costly)]
        for done, number in enumerate(numbers):
            self._on_progress("leaving layers in float", done, len(numbers))
            after = self.loss(self.make(method, costly[:number]))
            if after < before and after <= min(_MAX_LOSS_RATIO * before, _AS_GOOD * least):
                best, least = costly[:number], min(least, after)
        return best

    def is_faster(self, method: str) -> bool:
        """Whether the quantised model takes less time than the source."""
        image = self.validation[0].orig_img
        return compare_speed(self.source, self.engine(self.make(method)), image, 2.0).ratio < 1


def loss(found: Agreement, of_objects: float | None = None) -> float:
    """One number for how far an answer is off, 0 is best.

    Args:
        found: means, of which overlaps, masks and keypoints are taken.
        of_objects: `QualityMeasurement.loss`; without it, missed and invented objects and the error of scores
            above the threshold, which for a classifier or a map is all there is.
    """
    parts = [1 - found.score + (found.confidence_error or 0.0) if of_objects is None else of_objects]
    parts += [1 - share for share in (found.mean_iou, found.mask_iou) if share is not None]
    parts += [found.keypoint_relative or 0.0]
    return float(np.sum(parts))


def quantise_best(
    model: onnx.ModelProto,
    source: Engine,
    images: list[Path],
    on_progress: OnProgress,
    *,
    even_if_slow: bool = False,
) -> tuple[onnx.ModelProto, list[Path], dict[str, Any]]:
    """Quantise a model with the best calibration method and selection of layers.

    Args:
        model: float, cut and rewritten.
        source: what it was made from, loaded.
        images: a third of those that can be read is the held-out set, which no choice uses.
        even_if_slow: go on though a first look at a classifier in bytes shows no gain.

    Returns:
        the model, the held-out set, and the choices by name.

    Raises:
        ModelError: the graph's opset has no weights with a scale for each filter; a classifier gains nothing.
        InputError: too few images can be read, or the model finds nothing in them.
    """
    opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if opset < 13:
        raise ModelError(f"the file has opset {opset}, and INT8 needs 13: export it again")
    on_progress("reading images", 0, 1)
    frames = read_images(spread(images, _MAX_READ), source.spec.channels)
    readable = [Path(frame.path) for frame in frames]
    if len(readable) < 2:
        raise InputError(
            f"--calibrate needs two images at least, one to check on; {len(readable)} can be read here, "
            "and a hundred are better"
        )
    held_out = readable[1::3]
    calibration = [path for number, path in enumerate(readable) if number % 3 != 1]
    if source.task not in ("classify", "semantic", "depth") and not _finds_something(source, held_out):
        raise InputError("the model finds nothing in the images held out to check on: take others")
    if source.task == "classify" and not even_if_slow:
        on_progress("comparing speed", 0, 1)
        _refuse_without_gain(model, source, next(read_images(readable, source.spec.channels)))
    work = Quantiser(model, source, calibration, on_progress)
    method, losses = work.best_method()
    # A classifier gains little: where it gains nothing, no minute is spent on the search for float layers.
    gains = source.task != "classify" or work.is_faster(method)
    kept = work.worth_keeping_in_float(method, losses[method]) if gains else []
    details = {
        "ranges": f"{method}, the best of {len(losses)} methods on {len(work.validation)} images",
        "in float": f"{len(kept)} of {len(work.convolutions)} convolutions",
        "held out": f"{len(held_out)} of {len(readable)} images, for the figures below",
    }
    return work.make(method, kept), held_out, details


def _refuse_without_gain(model: onnx.ModelProto, source: Engine, frame: Frame) -> None:
    """Time the network in bytes, calibrated on one image, which tells its time and not its answers.

    Raises:
        ModelError: it is not faster than the source.
    """
    engine = load(model.SerializeToString(), "cpu", threads=source.session.threads)
    placed = [engine.place(frame, engine.size())] * (engine.spec.batch or 1)
    tensor = engine.prepare(placed).tensor.array
    planned = plan_quantisation(Graph(model))
    seen = observe(model, planned.measured, lambda: [tensor], source.session.threads)
    made = quantise(model, {name: METHODS["min-max"](values) for name, values in seen.items()})
    set_metadata(made, KEY, entry(engine.spec.layout.head, "int8"))
    candidate = load(made.SerializeToString(), "cpu", threads=source.session.threads)
    ratio = compare_speed(source, candidate, frame.image, 3.0).ratio
    if ratio >= 1:
        raise ModelError(
            f"INT8 gains nothing for this classifier on this machine: {ratio:.2f} of the export's time; "
            "--force makes the file all the same"
        )


def _finds_something(engine: Engine, images: list[Path]) -> bool:
    paths = [str(path) for path in images]
    return any(len(found) for found in engine.stream(paths, conf=CONF, on_error=lambda error: None))
