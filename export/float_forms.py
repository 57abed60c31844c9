"""The forms of an export in floats: lean, with a sparse head, and in half precision."""

from __future__ import annotations

import onnx

from ..engine.loading import load
from ..engine.model.lean_metadata import KEY, entry
from ..engine.pipeline import Engine
from .graph.head import cut
from .graph.onnx_graph import set_metadata
from .graph.rewrites import convolve_before_upsampling, split_convolutions
from .graph.sparse_head import is_cut, sparse_form


def is_half(model: onnx.ModelProto) -> bool:
    """Whether most of a model's weights are in half precision."""
    weights = model.graph.initializer
    halves = [tensor for tensor in weights if tensor.data_type == onnx.TensorProto.FLOAT16]
    return 2 * len(halves) > len(weights)


def lean_form(model: onnx.ModelProto, source: Engine, notes: list[str]) -> onnx.ModelProto:
    """Cut and rewritten, as far as the model allows."""
    layout = source.spec.layout
    if layout.kind == "lean":
        return model
    shorter = None
    if layout.task == "classify":
        notes.append("a classifier has no head to cut off")
    elif layout.is_dense:
        notes.append("a map has no head to cut off: the graph is rewritten, and its output stays as it is")
    elif layout.kind == "rtdetr":
        notes.append("RT-DETR has no head to cut off: the graph is rewritten, and its output stays as it is")
    else:
        shorter = cut(model, source)
        if shorter is None:
            notes.append("the head is not one that yolean knows: it stays in the graph, in its layout")
    if shorter is None:
        shorter = onnx.ModelProto()
        shorter.CopyFrom(model)
        set_metadata(shorter, KEY, entry(None, "fp16" if is_half(model) else "fp32"))
    split_convolutions(shorter)
    return shorter


def float_form(
    model: onnx.ModelProto, source: Engine, notes: list[str], *, half: bool, dense_head: bool
) -> onnx.ModelProto:
    """The lean model in single or half precision, rewritten for speed.

    Args:
        model: lean; changed in place.
        source: the engine of the export.
        notes: gets what a reader should know.
        half: as for `OptimizeOptions`.
        dense_head: as for `OptimizeOptions`.
    """
    convolve_before_upsampling(model)  # not for int8: one more rounding
    if half:
        return _half(model)
    return model if dense_head else _sparse(model, source, notes)


def _sparse(model: onnx.ModelProto, source: Engine, notes: list[str]) -> onnx.ModelProto:
    """With branches for surviving anchors only, as far as the head allows."""
    if not is_cut(model) or is_half(model):
        return model
    sparse = sparse_form(model, source)
    if sparse is None:
        notes.append("the head's branches have no form that yolean knows: they are computed for every anchor")
    return sparse or model


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    """In half precision, with an input and outputs of float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    set_metadata(made, KEY, entry(load(model.SerializeToString(), "cpu").spec.layout.head, "fp16"))
    return made
