"""Checks an installation and returns findings. It imports nothing that may itself be broken."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from .._version import __version__
from .runtime.cpu import cpu_quota, has_cpu_flag, usable_cores
from .runtime.devices import PROVIDERS

Level = Literal["ok", "warn", "fail"]
Run = Callable[..., tuple[bool, str]]

# For each import: the wheel to advise, and the oldest version that is tested.
_MODULES = {
    "numpy": ("numpy", (1, 26)),
    "cv2": ("opencv-python-headless", (4, 9)),
    "onnxruntime": ("onnxruntime", (1, 19)),
}
_OPENCVS = tuple(
    f"opencv-{kind}{suffix}" for kind in ("python", "contrib-python") for suffix in ("", "-headless")
)
_RUNTIMES = tuple(
    f"onnxruntime{kind}" for kind in ("", "-gpu", "-openvino", "-directml", "-qnn", "-rocm", "-migraphx")
)
_CPU_FEATURES = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "avx512_vnni": ("avx512_vnni",),
    "avx_vnni": ("avx_vnni",),
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "dotprod": ("asimddp",),
    "i8mm": ("i8mm",),
}
_TRIED = ("cuda", "openvino", "coreml", "directml", "cpu")  # not TensorRT, which builds engines for minutes
_CUDA_ADVICE = (
    "pip install 'onnxruntime-gpu[cuda,cudnn]', and an NVIDIA driver that is new enough for this CUDA version"
)
TIMEOUT = 120.0
"""Seconds that an import or a prediction may take."""

_VERSION = "import {0}; print({0}.__version__)"
_PROVIDERS = "import onnxruntime as o; o.InferenceSession; print(*o.get_available_providers())"
_CUDA_LIBRARIES = """
import ctypes, glob, os
import onnxruntime
getattr(onnxruntime, "preload_dlls", lambda **_: None)(directory="")
for part in ("shared", "cuda"):
    name = f"*onnxruntime_providers_{part}.*"
    for path in glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), "capi", name)):
        ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
"""
_TRIAL = """
import sys
from yolean import load
from yolean.models import demo_model, demo_images
model = load(demo_model(), device=sys.argv[1])
print(len(model(demo_images()[0])[0]))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        level: `ok`, `warn` (it works, but slowly or by chance) or `fail`.
        about: the part that was checked, such as "onnxruntime".
        what: the result, in one line.
        advice: what to do about it, usually a command; empty for `ok`.
    """

    level: Level
    about: str
    what: str
    advice: str = ""


def examine(run: Run | None = None) -> Iterator[Finding]:
    """Run all checks and yield their findings one by one; takes some seconds.

    Imports and predictions run in processes of their own: a wheel built for another CPU kills the process
    that imports it.

    Args:
        run: runs code with arguments in another process, and returns whether it succeeded and its last line;
            default: `run_python`.
    """
    run = run or run_python
    system = f"{platform.system()} {platform.machine()}"
    yield Finding("ok", "yolean", f"{__version__} on Python {platform.python_version()}, {system}")
    yield from _cores()
    yield _cpu()
    runtimes, opencvs = _wheels()
    yield from _doubled(runtimes, opencvs)
    imported = [
        _imported("numpy", ["numpy"], run),
        _imported("cv2", opencvs, run),
        _imported("onnxruntime", runtimes, run),
    ]
    yield from imported
    if all(finding.level != "fail" for finding in imported):
        yield from _runtime(runtimes, run)


def _cores() -> Iterator[Finding]:
    total, usable, quota = os.cpu_count() or 1, usable_cores(), cpu_quota()
    limits = [f"{total} logical CPUs"]
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < total:
        limits.append(f"affinity allows {len(os.sched_getaffinity(0))}")
    if quota is not None:
        limits.append(f"the container's quota is {quota:g}")
    yield Finding("ok", "cores", f"{usable} used by default ({', '.join(limits)})")
    if quota is not None and quota < 1:
        yield Finding(
            "warn", "cores", f"the quota of {quota:g} cores is less than one", "raise the CPU limit"
        )


def _cpu() -> Finding:
    features = [name for name, flags in _CPU_FEATURES.items() if has_cpu_flag(*flags)]
    if platform.machine().lower() in ("x86_64", "amd64") and has_cpu_flag("fpu") and "avx2" not in features:
        return Finding(
            "warn", "cpu", "no avx2: models run several times slower here", "use a CPU of 2015 or newer"
        )
    return Finding("ok", "cpu", " ".join(features) or "unknown: this system does not list CPU features")


def _wheels() -> tuple[list[str], list[str]]:
    """The ONNX Runtime wheels and the OpenCV wheels that an import would find, sorted.

    These are those in the folder of the first: a wheel further down `sys.path` is hidden, not broken.
    """
    found: dict[str, dict[str, list[str]]] = {"onnxruntime": {}, "opencv": {}}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if name in _RUNTIMES or name in _OPENCVS:
            folders = found[name.partition("-")[0]]
            folders.setdefault(str(distribution.locate_file("")), []).append(name)
    runtimes, opencvs = (sorted(next(iter(folders.values()), [])) for folders in found.values())
    return runtimes, opencvs


def _doubled(runtimes: list[str], opencvs: list[str]) -> Iterator[Finding]:
    """Findings about wheels that share an import folder: the one installed last has overwritten the other."""
    if len(runtimes) > 1:
        yield Finding(
            "fail",
            "onnxruntime",
            f"{' and '.join(runtimes)} are both installed: they share one folder and break each other",
            f"pip uninstall -y {' '.join(runtimes)} && pip install {runtimes[-1]}",
        )
    if len(opencvs) > 1:
        yield Finding(
            "warn",
            "opencv",
            f"{' and '.join(opencvs)} are both installed: they share one folder, and removing either breaks "
            "the other",
            f"pip uninstall -y {' '.join(opencvs)} && pip install {opencvs[-1]}",
        )


def _imported(module: str, wheels: list[str], run: Run) -> Finding:
    """Whether a module can be imported, in which version, from which of the wheels."""
    wheel, oldest = _MODULES[module]
    good, text = run(_VERSION.format(module))
    if not good:
        return _not_imported(module, wheels, text)
    if tuple(map(int, re.findall(r"\d+", text)[:2])) < oldest:
        wanted = ".".join(map(str, oldest))
        advice = f"pip install -U '{wheels[-1] if wheels else wheel}>={wanted}'"
        return Finding("warn", module, f"{text} is older than {wanted}", advice)
    return Finding(
        "ok", module, text if wheels == [module] else f"{text} ({', '.join(wheels) or 'no wheel'})"
    )


def _not_imported(module: str, wheels: list[str], text: str) -> Finding:
    wheel = _MODULES[module][0]
    missing = re.search(r"No module named '(\w+)'", text)
    if missing and missing[1] == module:
        advice = f"pip install {wheel}"
        if module == "onnxruntime":
            advice += " (or onnxruntime-gpu for NVIDIA, onnxruntime-openvino for Intel)"
        return Finding("fail", module, "is not installed", advice)
    if missing and missing[1] in _MODULES:
        return Finding("fail", module, f"cannot start without {missing[1]}", f"install {missing[1]} first")
    advice = f"pip install --force-reinstall {wheels[-1] if wheels else wheel}"
    if "has no attribute" in text:
        return Finding("fail", module, "its folder is empty: a wheel that shared it was removed", advice)
    if module == "cv2" and re.search(r"lib(GL|gthread|glib|SM|Xext)", text):
        removed = f"pip uninstall -y {' '.join(wheels)} && " if wheels else ""
        advice = f"{removed}pip install {wheel}, which needs no desktop libraries"
    return Finding("fail", module, f"is installed but does not start: {text}", advice)


def _runtime(wheels: list[str], run: Run) -> Iterator[Finding]:
    """The execution providers, and a prediction on each of their devices."""
    good, text = run(_PROVIDERS)
    reinstall = f"pip install --force-reinstall {wheels[-1] if wheels else 'onnxruntime'}"
    if not good:
        yield Finding("fail", "onnxruntime", f"tells no providers: {text}", reinstall)
        return
    available = text.split()
    yield Finding("ok", "providers", ", ".join(p.removesuffix("ExecutionProvider") for p in available))
    for device in _TRIED:
        if PROVIDERS[device] in available:
            yield (_cuda(run) if device == "cuda" else None) or _trial(device, reinstall, run)


def _cuda(run: Run) -> Finding | None:
    """Libraries that the CUDA provider lacks: ONNX Runtime itself would fall back to the CPU silently."""
    good, text = run(_CUDA_LIBRARIES)
    if good:
        return None
    advice = _CUDA_ADVICE
    if "libcuda.so" in text or "nvcuda" in text:
        advice = "install NVIDIA's driver (nvidia-smi must work); containers need --gpus all"
    return Finding("fail", "run on cuda", f"its libraries are not found: {text}", advice)


def _trial(device: str, reinstall: str, run: Run) -> Finding:
    """A prediction of the demo model on a device."""
    good, text = run(_TRIAL, device)
    if good and text != "0":
        return Finding("ok", f"run on {device}", f"the demo model found {text} shapes in the demo image")
    what = "it finds nothing in the demo image" if good else text
    advice = _CUDA_ADVICE if device == "cuda" else reinstall
    return Finding("fail", f"run on {device}", f"the demo model does not run: {what}", advice)


def run_python(code: str, *arguments: str) -> tuple[bool, str]:
    """Run code in another Python process: whether it succeeded, and its last line or the reason."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer after {TIMEOUT:g} seconds"
    if done.returncode == 0:
        return True, _last_line(done.stdout)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = ", it was built for another CPU" if name == "SIGILL" else ""
        return False, f"the process is killed by {name}{hint}"
    text = re.sub(
        r"^(\w+\.)*(DeviceError|ModelError|InputError|ImportError|ModuleNotFoundError|OSError): ",
        "",
        _last_line(done.stderr),
    )
    return False, text or f"exit status {done.returncode}"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
