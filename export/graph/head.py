"""Recognises a YOLO head by its structure, and cuts the graph at the head's last convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ...engine.model.lean_metadata import KEY, entry
from ...engine.pipeline import Engine
from ...engine.runtime.session import Session
from ...models import demo_images
from ...postprocess import lean_head as lean
from ...postprocess.boxes import xywh_to_xyxy
from ...postprocess.layout import Head, HeadKind, Layout
from ..trial_images import read_images
from .onnx_graph import Graph, Node, set_metadata

Array = NDArray[Any]

_EXTRA_NAMES = {"segment": "coefficients", "pose": "keypoints", "obb": "angle"}
_SEED = 5


@dataclass(frozen=True)
class _Tolerance:
    """The largest differences of the decoded cut from the whole graph, for every anchor."""

    pixels: float
    score: float
    share: float  # of a score: untrained networks have scores of 1e-5
    value: float  # mask coefficients


_CLOSE = _Tolerance(0.01, 1e-5, 1e-3, 1e-3)
_HALF = _Tolerance(
    8, 0.01, 100, 0.1
)  # half precision rounds to half a pixel and more; numpy decodes in float


@dataclass(frozen=True, eq=False)
class _Trial:
    """An input tensor, and for its first image the graph's first output and the tensors at the cut."""

    tensor: Array  # (batch, channels, height, width)
    whole: Array  # (4 + nc + extra, anchors), or (rows, 6 + extra) of an end-to-end head
    ends: list[Array]  # (channels, height, width) of each last convolution

    @property
    def is_half(self) -> bool:
        """Whether the graph computes in half precision."""
        return any(end.dtype == np.float16 for end in self.ends)


def cut(model: onnx.ModelProto, engine: Engine) -> onnx.ModelProto | None:
    """The lean form of a model, or None where its head is not one that yolean knows.

    The last convolutions of the branches are found by walking back from the outputs. The meaning of their
    values is not taken from names either: every layout that fits the numbers of channels is tried, until all
    anchors decoded in numpy equal the output of the whole graph for drawn images and for noise.

    Args:
        model: left as it is.
        engine: the same model, loaded, in the raw or end-to-end layout.
    """
    shorter = onnx.ModelProto()
    shorter.CopyFrom(model)
    graph = Graph(shorter)
    ends = last_convolutions(graph)
    kept = [*ends, *(graph.outputs[1:2] if engine.task == "segment" else [])]
    trials = _try(graph, kept, engine)
    scales = _scales(trials[0], len(ends))
    if scales is None:
        return None
    for layout, order in _readings(engine.spec.layout, trials[0], scales):
        if all(_agrees(trial, engine.spec.layout, layout, order) for trial in trials):
            _name_outputs(graph, [kept[i] for i in order], layout, trials[0], engine, order)
            set_metadata(shorter, KEY, entry(layout.head, "fp16" if trials[0].is_half else "fp32"))
            return shorter
    return None


def last_convolutions(graph: Graph) -> list[str]:
    """Outputs of the convolutions that the first output is computed from without another convolution between.

    The convolution over the bins of DFL is part of the decoding. Paths through Shape do not count: graphs
    with free axes read the sizes of feature maps.
    """
    found: list[str] = []
    seen: set[str] = set()
    waiting = graph.outputs[:1]
    while waiting:
        name = waiting.pop(0)
        node = graph.producer.get(name)
        if node is None or name in seen or node.op_type == "Shape":
            continue
        seen.add(name)
        if node.op_type == "Conv" and not _averages_bins(graph, node):
            found.append(name)
        else:
            waiting[:0] = list(node.input)
    return found


def _averages_bins(graph: Graph, node: Node) -> bool:
    """Whether a convolution weights bins with 0, 1, 2, ..., as DFL (Distribution Focal Loss) does."""
    weight = graph.constant(node.input[1])
    return weight is not None and bool(np.array_equal(weight.ravel(), np.arange(weight.size)))


def _try(graph: Graph, ends: list[str], engine: Engine) -> list[_Trial]:
    """Outputs and ends from the same runs.

    Two graphs may round differently, and networks with attention amplify that.
    """
    wanted = list(dict.fromkeys((graph.outputs[0], *ends)))
    graph.set_outputs([onnx.ValueInfoProto(name=name) for name in wanted])
    session = Session(graph.model.SerializeToString(), device="cpu", threads=engine.session.threads)
    trials = []
    for tensor in trial_tensors(engine):
        arrays = dict(zip(wanted, (array[0] for array in session.run(tensor)), strict=True))
        trials.append(_Trial(tensor, arrays[wanted[0]], [arrays[name] for name in ends]))
    return trials


def trial_tensors(engine: Engine) -> Iterator[Array]:
    """Input tensors for trials: the drawn images as the engine prepares them, and noise."""
    paths = demo_images()[: 2 if engine.spec.dynamic else 1]
    for image in read_images(paths, engine.spec.channels):
        yield engine.prepare([engine.place(image, engine.size())]).tensor.array.copy()
    shape = (engine.spec.batch or 1, engine.spec.channels, *engine.spec.imgsz)
    yield np.random.default_rng(_SEED).random(shape, np.float32).astype(engine.spec.dtype)


def _scales(trial: _Trial, ends: int) -> list[list[int]] | None:
    """Indices of the ends, by feature map from fine to coarse; None where they are no feature maps."""
    maps: dict[tuple[int, int], list[int]] = {}
    for index, end in enumerate(trial.ends[:ends]):
        if end.ndim != 3:
            return None
        maps.setdefault((end.shape[1], end.shape[2]), []).append(index)
    return [maps[size] for size in sorted(maps, reverse=True)]


def _readings(plain: Layout, trial: _Trial, scales: list[list[int]]) -> Iterator[tuple[Layout, list[int]]]:
    """Lean layouts that fit the numbers of channels, each with the ends in the order of its outputs."""
    branches = 3 if plain.extra else 2
    if not scales or any(len(scale) != branches for scale in scales):
        return
    height, width = trial.tensor.shape[2:]
    strides = []
    for scale in scales:
        _, h, w = trial.ends[scale[0]].shape
        if height % h or height // h != width / w:
            return
        strides.append(height // h)
    kinds: tuple[HeadKind, ...] = ("v8", "26") if plain.task in ("pose", "obb") else ("v8",)
    limit = len(trial.whole) if plain.kind == "end2end" else None
    for roles in permutations(range(branches)):
        order = [scale[role] for role in roles for scale in scales]
        channels = [len(trial.ends[index]) for index in order]
        bins = channels[0] // 4
        if channels != [c for c in (4 * bins, plain.nc, plain.extra)[:branches] for _ in scales]:
            continue
        if plain.task == "segment":
            order.append(len(trial.ends) - 1)
        for kind, agnostic_nms in product(kinds, (False, True) if limit else (False,)):
            head = Head(tuple(strides), bins, kind, limit, agnostic_nms)
            yield replace(plain, kind="lean", head=head), order


def _agrees(trial: _Trial, plain: Layout, layout: Layout, order: list[int]) -> bool:
    """Whether the ends, decoded by a layout, give what the whole graph gives."""
    close = _HALF if trial.is_half else _CLOSE
    ends = [trial.ends[index].astype(np.float32) for index in order]
    whole = trial.whole.astype(np.float32)
    near = close.pixels if layout.task == "pose" else close.value
    if plain.kind == "raw":
        rows = whole.T
        boxes, scores, extra = lean.dense(ends, layout)
        angle = rows[:, 4 + layout.nc :]
        wanted = np.hstack((rows[:, :4], angle)) if layout.task == "obb" else xywh_to_xyxy(rows[:, :4])
        return (
            _all_close(boxes, wanted, close.pixels)
            and _scores_close(scores, rows[:, 4 : 4 + layout.nc], close)
            and _all_close(extra, rows[:, 4 + layout.nc :], near)
        )
    return _same_rows(ends, whole, layout, close)


def _same_rows(ends: list[Array], whole: Array, layout: Layout, close: _Tolerance) -> bool:
    """Whether the rows (rows, 6 + extra) of an end-to-end head are the best anchors of the decoded ends.

    Scores are compared in their order, everything else with whichever anchor has the row's box: which of
    several equal scores comes first, or makes it to the last row, differs from CPU to CPU. ONNX Runtime's
    sigmoid without AVX-512 gives small scores in steps of 3e-8, so that many of them are equal.
    """
    if not _scores_close(lean.candidates(ends, layout, -1).scores, whole[:, 4], close):
        return False
    boxes, scores, extra = lean.dense(ends, layout)
    wanted = np.hstack((whole[:, :4], whole[:, 6:])) if layout.task == "obb" else whole[:, :4]
    near = np.full((len(whole), len(boxes)), True)
    for column in range(wanted.shape[1]):  # one by one: large inputs have 33,600 anchors
        near &= np.abs(wanted[:, column, None] - boxes[:, column]) <= close.pixels
    rows, anchors = np.nonzero(near)
    classes = whole[rows, 5].astype(np.int64)
    same = _is_score_close(scores[anchors, classes], whole[rows, 4], close)
    if layout.extra:
        most = close.pixels if layout.task == "pose" else close.value
        same &= np.abs(whole[rows, 6:] - extra[anchors]).max(axis=1) <= most
    return len(set(rows[same].tolist())) == len(whole)


def _scores_close(found: Array, wanted: Array, tolerance: _Tolerance) -> bool:
    return found.shape == wanted.shape and bool(_is_score_close(found, wanted, tolerance).all())


def _is_score_close(found: Array, wanted: Array, tolerance: _Tolerance) -> NDArray[np.bool_]:
    most = np.minimum(tolerance.score, 1e-6 + tolerance.share * np.abs(wanted))
    return np.asarray(np.abs(found - wanted) <= most)


def _all_close(found: Array, wanted: Array, tolerance: float) -> bool:
    return found.shape == wanted.shape and bool(np.all(np.abs(found - wanted) <= tolerance))


def _name_outputs(
    graph: Graph, names: list[str], layout: Layout, trial: _Trial, engine: Engine, order: list[int]
) -> None:
    """Name the outputs after branch and stride, and declare their shapes."""
    if layout.head is None:
        raise ValueError("a lean layout needs its head")
    strides = layout.head.strides
    branches = ("boxes", "classes", _EXTRA_NAMES.get(layout.task, ""))
    speaking = [f"{branch}_{stride}" for branch in branches if branch for stride in strides]
    if layout.task == "segment":
        speaking.append("prototypes")
    batch = engine.session.inputs[0].shape[0]
    infos = []
    for old, new, index in zip(names, speaking, order, strict=True):
        channels, height, width = trial.ends[index].shape
        elem = helper.np_dtype_to_tensor_dtype(trial.ends[index].dtype)
        sides: list[Any] = [height, width]
        if engine.spec.dynamic:
            sides = [f"{side}_{new.rpartition('_')[2]}" for side in ("height", "width")]
        new = graph.unique(new)
        graph.rename(old, new)
        infos.append(helper.make_tensor_value_info(new, elem, [batch, channels, *sides]))
    graph.set_outputs(infos)
