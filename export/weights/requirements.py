"""Checks before an export takes time: weights, packages, and an opset that runs here."""

from __future__ import annotations

import re
from importlib import metadata, util
from pathlib import Path

from ..._install_advice import install_command
from ...engine.errors import InputError, ModelError
from ...engine.runtime.devices import import_runtime

_NEEDED = ("ultralytics", "torch", "onnx", "onnxslim")
_OLDEST = (8, 4, 142)  # from here on nms=None means raw outputs, for every family
_MAGIC = (b"PK\x03\x04", b"\x80")  # what torch.save writes today, and what it wrote before 1.6


def check_weights(weights: Path) -> None:
    """Refuse files that are no PyTorch files, by their first bytes.

    Raises:
        ModelError: it is missing, cannot be read, or is none.
    """
    if weights.suffix.lower() != ".pt":
        hint = ", and what is exported already is for yolean optimize" * (weights.suffix == ".onnx")
        raise ModelError(f"{weights} is no .pt file: expected the weights of a trained YOLO{hint}")
    try:
        with weights.open("rb") as file:
            start = file.read(4)
    except FileNotFoundError as exc:
        raise ModelError(f"{weights} does not exist: yolean downloads nothing; fetch the file first") from exc
    except OSError as exc:
        raise ModelError(f"{weights} cannot be read: {exc.strerror or exc}") from exc
    if not start.startswith(_MAGIC):
        raise ModelError(f"{weights} is no PyTorch file: expected what Ultralytics saves after training")


def check_packages() -> None:
    """Check that the packages of the extra `export` are installed.

    Raises:
        InputError: one is missing or too old.
    """
    missing = [name for name in _NEEDED if util.find_spec(name) is None]
    if missing:
        raise InputError(f"this needs {' and '.join(missing)}: {install_command('export')}")
    found = metadata.version("ultralytics")
    if tuple(map(int, re.findall(r"\d+", found)[:3])) < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        raise InputError(
            f"ultralytics {found} is too old: {install_command('export')} brings {wanted} or newer"
        )


def check_opset(opset: int) -> None:
    """Run the smallest graph of an opset: ONNX Runtime has no list of those that it supports.

    Raises:
        InputError: it does not run.
    """
    import onnx

    ort = import_runtime()
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "trial",
        [shape("x", onnx.TensorProto.FLOAT, [1])],
        [shape("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime has no common base for what it raises
        raise InputError(
            f"--opset {opset}: onnxruntime {ort.__version__} does not run it: leave --opset out, or take less"
        ) from exc
