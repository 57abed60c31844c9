"""From the name of a device to the execution providers of ONNX Runtime and their options."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import DeviceError, InputError
from .cpu import has_cpu_flag

Provider = tuple[str, dict[str, Any]]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
PRECISIONS = ("fp32", "fp16", "bf16")

_AUTO = ("cuda", "directml", "openvino")  # not TensorRT, which builds engines for minutes
_WHEELS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
_GPU_WHEEL = "pip uninstall the ONNX Runtime that is there, then pip install onnxruntime-gpu"
_MEANT = {"gpu": "cuda", "mps": "coreml", "trt": "tensorrt", "intel": "openvino"}
_CURES = {
    "cpu": "pip install --force-reinstall onnxruntime",
    "cuda": _GPU_WHEEL,
    "tensorrt": _GPU_WHEEL,
    "openvino": "pip uninstall the ONNX Runtime that is there, then pip install onnxruntime-openvino",
    "directml": "it exists on Windows, in the wheel onnxruntime-directml",
    "coreml": "it exists on macOS, in the wheel onnxruntime",
}


@dataclass(frozen=True, slots=True)
class Device:
    """A device to run on, such as `cuda:1`.

    Attributes:
        name: a key of `PROVIDERS`.
        unit: the part behind the colon: the number of a GPU, or OpenVINO's CPU, GPU, NPU; else "".
    """

    name: str
    unit: str = ""

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of its execution provider."""
        return PROVIDERS[self.name]

    @property
    def is_gpu(self) -> bool:
        """Whether one thread has to own the session: concurrent runs crash CUDA sessions."""
        return self.name in ("cuda", "tensorrt", "directml")

    def __str__(self) -> str:
        return f"{self.name}:{self.unit}" if self.unit else self.name


def candidates(device: str, available: Sequence[str]) -> list[Device]:
    """The devices to try for a request, best first; more than one for `auto` only.

    Args:
        device: `auto`, or a device name with an optional unit, such as `cuda:1`.
        available: the execution providers of the installed ONNX Runtime.

    Raises:
        InputError: no such device.
        DeviceError: the installed ONNX Runtime has no provider for it.
    """
    if not isinstance(device, str):
        raise InputError(f"device={device!r}: expected a name such as 'cpu' or 'cuda:0'")
    if meant := _MEANT.get(device.lower(), device.isdecimal() and f"cuda:{device}"):
        raise InputError(f"unknown device {device!r}: did you mean {meant}?")
    if device == "auto":
        return [Device(n) for n in _AUTO if PROVIDERS[n] in available] + [Device("cpu")]
    name, _, unit = device.lower().partition(":")
    if name not in PROVIDERS:
        raise InputError(f"unknown device {device!r}: expected auto, {', '.join(PROVIDERS)}, or cuda:N")
    if unit and (name in ("cpu", "coreml") or (name != "openvino" and not unit.isdecimal())):
        raise InputError(f"unknown device {device!r}: only GPUs take a number, as in cuda:0")
    if PROVIDERS[name] not in available:
        lacks = f"device {device!r} needs {PROVIDERS[name]}, which the installed ONNX Runtime lacks"
        raise DeviceError(f"{lacks}: {_CURES[name]}")
    return [Device(name, unit.upper() if name == "openvino" else unit)]


def provider_options(
    device: Device, model: bytes | Path, threads: int, precision: str | None, cuda_graph: bool
) -> list[Provider]:
    """The execution provider of a device, and those for the operators that it lacks, with their options.

    Args:
        device: to run on.
        model: names the cache of TensorRT engines.
        threads: intra-op threads, for OpenVINO on a CPU.
        precision: `fp32`, `fp16`, `bf16`, or None for the default of the device.
        cuda_graph: whether to replay runs as a CUDA graph.

    Raises:
        InputError: the device has no such precision.
    """
    _check_precision(device, precision)
    cpu: Provider = (PROVIDERS["cpu"], {})
    match device.name:
        case "cuda":
            return [(device.provider, _cuda(device, precision, cuda_graph)), cpu]
        case "tensorrt":
            trt = (device.provider, _tensorrt(device, model, precision))
            return [trt, (PROVIDERS["cuda"], _cuda(device, precision, False)), cpu]
        case "openvino":
            return [(device.provider, _openvino(device, threads, precision)), cpu]
        case "coreml":
            return [(device.provider, {"ModelFormat": "MLProgram"}), cpu]
        case "directml":
            return [(device.provider, {"device_id": int(device.unit or 0)}), cpu]
    return [cpu]


def _check_precision(device: Device, precision: str | None) -> None:
    if precision is None:
        return
    allowed = {"openvino": PRECISIONS, "tensorrt": ("fp32", "fp16")}.get(device.name, ("fp32",))
    if precision not in allowed:
        raise InputError(f"precision={precision!r} is not one of {device.name}'s: {', '.join(allowed)}")


def _cuda(device: Device, precision: str | None, graph: bool) -> dict[str, Any]:
    return {
        "device_id": int(device.unit or 0),
        # The exhaustive search takes seconds for each new shape; the heuristic finds nearly the same kernels.
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": int(precision != "fp32"),
        "enable_cuda_graph": int(graph),
    }


def _tensorrt(device: Device, model: bytes | Path, precision: str | None) -> dict[str, Any]:
    # An engine is valid for one model and one version of the runtime: both are in the name of the folder.
    import onnxruntime

    data = model if isinstance(model, bytes) else model.read_bytes()
    key = f"{hashlib.sha256(data).hexdigest()[:16]}-ort{onnxruntime.__version__}-{precision or 'fp32'}"
    cache = cache_folder() / "tensorrt" / key
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DeviceError(
            f"cannot keep engines in {cache}: {exc.strerror}; set YOLEAN_CACHE to a folder"
        ) from exc
    return {
        "device_id": int(device.unit or 0),
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": precision == "fp16",
    }


def _openvino(device: Device, threads: int, precision: str | None) -> dict[str, Any]:
    unit = device.unit or "CPU"
    hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if unit == "CPU":
        hints["INFERENCE_NUM_THREADS"] = threads
        native = has_cpu_flag("avx512_bf16", "amx_bf16", "bf16")
        precision = precision or ("bf16" if native else "fp32")
    if precision is not None:
        hints["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}[precision]
    return {"device_type": unit, "load_config": json.dumps({unit: hints})}


def cache_folder() -> Path:
    """The folder of TensorRT engines: $YOLEAN_CACHE, or `yolean` in the cache folder of the user."""
    if own := os.environ.get("YOLEAN_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolean"


def import_runtime() -> ModuleType:
    """Import ONNX Runtime.

    Raises:
        DeviceError: it is missing, or two wheels overwrote each other; the message has the command to run.
    """
    try:
        import onnxruntime
    except ImportError as exc:
        raise DeviceError(_import_advice(exc)) from exc
    wheels = installed_wheels(onnxruntime)
    if len(wheels) > 1:
        raise DeviceError(
            f"{len(wheels)} ONNX Runtime wheels share one folder and break each other: {', '.join(wheels)}; "
            f"keep one: pip uninstall -y {' '.join(wheels)} && pip install {wheels[-1]}"
        )
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DeviceError(
            "the onnxruntime folder is there but empty (a wheel was removed from under another): "
            "pip install --force-reinstall onnxruntime"
        )
    runtime: ModuleType = onnxruntime
    return runtime


def installed_wheels(runtime: ModuleType) -> list[str]:
    """The ONNX Runtime distributions beside the imported package, such as ["onnxruntime-gpu"].

    It lists one folder, because `importlib.metadata` would add 10 ms to every cold start.
    """
    folder = Path(next(iter(runtime.__path__))).parent
    found = (p.name.split("-")[0].replace("_", "-") for p in folder.glob("onnxruntime*.dist-info"))
    return sorted(name for name in found if name in _WHEELS)


def _import_advice(exc: ImportError) -> str:
    if isinstance(exc, ModuleNotFoundError) and exc.name == "onnxruntime":
        return (
            "ONNX Runtime is not installed: pip install onnxruntime "
            "(or onnxruntime-gpu for NVIDIA, onnxruntime-openvino for Intel)"
        )
    return f"ONNX Runtime is installed but does not start ({exc}): pip install --force-reinstall onnxruntime"
