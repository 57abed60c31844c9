"""What it costs to leave some convolutions of a network in float, predicted from their multiplications.

Measured times depend on how busy the machine is: the same images would give one file today and another
tomorrow. Only the kind of CPU counts here, because it decides whether bytes are fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from ...engine.runtime.cpu import has_cpu_flag
from ...engine.runtime.session import Session
from ..graph.onnx_graph import Graph

BYTES_WITH_VNNI, BYTES_WITHOUT_VNNI = 0.41, 0.85
"""Time of YOLOv8n with all convolutions in bytes, divided by that of the float network: measured, see
benchmarks/notes.md."""

MAX_TIME = 1.1
"""Time that convolutions in float may lead to, divided by that of all in bytes.

With VNNI, from an image to results: YOLOv8n in bytes takes 0.41 of a lean file, which takes 0.89 of a
`session.run` of the export: together 0.365, and 0.40 with this. The prediction leaves out conversions between
bytes and floats, up to 0.05 where it was measured.
"""


def time_of_bytes() -> float:
    """Time of a network in bytes, divided by that in float, on this kind of CPU; unknown ones are fast."""
    slow = has_cpu_flag("avx2") and not has_cpu_flag("avx512_vnni", "avx_vnni")
    return BYTES_WITHOUT_VNNI if slow else BYTES_WITH_VNNI


def multiplications(
    model: onnx.ModelProto,
    convolutions: Sequence[str],
    tensor: NDArray[np.float32],
    threads: int | None = None,
) -> dict[str, int]:
    """Numbers of multiplications of convolutions, by the names of their outputs.

    Args:
        model: float.
        tensor: an input, which gives the sizes of all outputs.
    """
    if not convolutions:
        return {}
    graph = Graph(model)
    filters = [graph.constant(graph.producer[name].input[1]) for name in convolutions]
    part = onnx.ModelProto()
    part.CopyFrom(model)
    Graph(part).set_outputs([onnx.ValueInfoProto(name=name) for name in convolutions])
    outputs = Session(part.SerializeToString(), "cpu", threads=threads).run(tensor)
    return {
        name: 0 if weight is None else values.size * weight[0].size
        for name, weight, values in zip(convolutions, filters, outputs, strict=True)
    }


def predicted_time(kept: Sequence[str], multiplications: Mapping[str, int], of_bytes: float) -> float:
    """Time with some convolutions in float, divided by that of all in bytes.

    Linear in their share of the multiplications, between all in bytes and all in float.

    Args:
        of_bytes: see `time_of_bytes`.
    """
    share = sum(multiplications[name] for name in kept) / max(sum(multiplications.values()), 1)
    return 1 + share * (1 / of_bytes - 1)


def affordable(costly: Sequence[str], multiplications: Mapping[str, int], of_bytes: float) -> list[str]:
    """Of convolutions in order of preference, those that fit into `MAX_TIME` together."""
    kept: list[str] = []
    for name in costly:
        if predicted_time([*kept, name], multiplications, of_bytes) <= MAX_TIME:
            kept.append(name)
    return kept
