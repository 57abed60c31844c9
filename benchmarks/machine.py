"""What makes figures of two machines comparable."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from .._version import __version__
from ..engine.runtime.cpu import cpu_quota, has_cpu_flag, usable_cores

_FLAGS = {"AVX2": "avx2", "AVX-512": "avx512f", "VNNI": "avx512_vnni", "AVX-VNNI": "avx_vnni",
          "AVX512-BF16": "avx512_bf16", "AMX": "amx_tile", "NEON dot": "asimddp", "i8mm": "i8mm"}  # fmt: skip


def machine() -> dict[str, Any]:
    """The processor, what of it may be used, the system, and the versions and commit that ran.

    Keys that do not apply are left out, so that nothing unknown looks like a value.
    """
    facts: dict[str, Any] = {
        "processor": _processor(),
        "features": [name for name, flag in _FLAGS.items() if has_cpu_flag(flag)],
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "quota": cpu_quota(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "yolean": __version__,
        "commit": _commit(),
    }
    for name in ("onnxruntime", "onnxruntime-openvino", "onnxruntime-gpu", "numpy", "opencv-python-headless"):
        facts[name] = installed(name)
    return {key: value for key, value in facts.items() if value is not None}


def installed(distribution: str) -> str | None:
    """Version of an installed distribution."""
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
