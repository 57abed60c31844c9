"""Maps the exceptions of ONNX Runtime to those of yolean; no other module knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DeviceError, ModelError, YoleanError

_FILE_ERRORS = ("InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NotImplemented", "NoModel")


@contextmanager
def mapped(provider: str, shape: tuple[int, ...] | None = None) -> Iterator[None]:
    """Context manager that turns exceptions of ONNX Runtime into a ModelError or DeviceError of one line.

    Args:
        provider: ONNX Runtime's name of the execution provider.
        shape: of the input, while a model runs; None while it loads.
    """
    try:
        yield
    except Exception as exc:
        if isinstance(exc, YoleanError) or not _is_runtimes(exc):
            raise
        text = " ".join(str(exc).split())
        kind = type(exc).__name__
        if "IR version" in text or ("opset" in text.lower() and "support" in text.lower()):
            import onnxruntime

            raise ModelError(
                f"the model is newer than ONNX Runtime {onnxruntime.__version__}: {_reason(text)}; "
                "update ONNX Runtime, or export with a lower opset"
            ) from exc
        if "xternal data" in text:
            raise ModelError(
                "the model keeps its weights in a second file: load it by a path that is valid UTF-8, with "
                f"that file beside it ({_reason(text)})"
            ) from exc
        if shape is not None and (provider == "CPUExecutionProvider" or kind == "InvalidArgument"):
            raise ModelError(f"the model refuses an input of {shape}: {_reason(text)}") from exc
        if kind in _FILE_ERRORS or provider == "CPUExecutionProvider":
            raise ModelError(f"not a usable ONNX model (cut off, or no ONNX?): {_reason(text)}") from exc
        raise DeviceError(f"{provider} failed: {_reason(text)}") from exc


def _is_runtimes(exc: Exception) -> bool:
    """Whether ONNX Runtime raised it: one of its own classes, or a built-in one from its bindings."""
    return type(exc).__module__.startswith("onnxruntime") or isinstance(exc, (RuntimeError, ValueError))


def _reason(text: str) -> str:
    """The useful part of a message of ONNX Runtime, in one line."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"/\S*onnxruntime\S* .*?\) ", "", text)  # the position in its source and the C++ signature
    text = re.sub(r"^.*\[OpenVINO-EP\] ", "", text)
    return text if len(text) <= 300 else f"{text[:80]} … {text[-220:]}"  # the cause is at the end
