"""Facts about this machine, which make figures of two machines comparable."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .._version import __version__
from ..engine.runtime.cpu import cpu_quota, has_cpu_flag, usable_cores

_FLAGS = {"AVX2": "avx2", "AVX-512": "avx512f", "VNNI": "avx512_vnni", "AVX-VNNI": "avx_vnni",
          "AVX512-BF16": "avx512_bf16", "AMX": "amx_tile", "NEON dot": "asimddp", "i8mm": "i8mm"}  # fmt: skip
_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-openvino",
    "onnxruntime-gpu",
    "numpy",
    "opencv-python-headless",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The processor, what of it may be used, the system, and the versions and commit that ran.

    Attributes:
        processor: its name.
        features: instruction sets that matter to networks, such as `AVX2` and `VNNI`.
        cores: of the machine.
        usable_cores: that affinity mask and container quota leave, at most the physical ones.
        memory_gb: of the machine, GB; None if unknown.
        system: name and release of the operating system.
        python: its version.
        yolean: its version.
        commit: of the checkout or of what pip installed; None if unknown.
        quota: cores that a container may use; None without a quota.
        versions: of the libraries that run models, by distribution.
    """

    processor: str
    features: list[str]
    cores: int | None
    usable_cores: int
    memory_gb: float | None
    system: str
    python: str
    yolean: str
    commit: str | None
    quota: float | None = None
    versions: dict[str, str]


def this_machine() -> Machine:
    """The facts of the machine that runs this."""
    return Machine(
        processor=_processor(),
        features=[name for name, flag in _FLAGS.items() if has_cpu_flag(flag)],
        cores=os.cpu_count(),
        usable_cores=usable_cores(),
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        yolean=__version__,
        commit=_commit(),
        quota=cpu_quota(),
        versions={name: found for name in _DISTRIBUTIONS if (found := installed(name)) is not None},
    )


def installed(distribution: str) -> str | None:
    """Version of an installed distribution, None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, platform.machine())


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _commit() -> str | None:
    """Of the checkout that this package is run from, or that pip installed it from if it was told."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return _installed_commit()
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _installed_commit() -> str | None:
    """What `pip install git+...` keeps beside the package (PEP 610)."""
    try:
        text = metadata.distribution("yolean").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    commit = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    return commit and str(commit)[:7]
