"""The lean and the INT8 file of a model, made once and kept, with the reports of their making."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._install_advice import install_command
from ..engine.errors import YoleanError


def variants(
    model: Path, folder: Path, calibrate: Path | None
) -> tuple[dict[str, Path | str], dict[str, Any]]:
    """The files by name (`plain`, `lean`, `int8`, `pt`), or in a line why there is none; and the reports.

    Files that an earlier run left in `folder` are taken as they are.

    Args:
        model: a plain export; weights of the same name beside it are `pt`.
        folder: where files are made.
        calibrate: images for INT8, or None for no such file.
    """
    weights = model.with_suffix(".pt")
    files: dict[str, Path | str] = {"plain": model}
    files["pt"] = weights if weights.is_file() else f"no {weights.name} beside the model"
    reports: dict[str, Any] = {}
    for kind in ("lean", "int8"):
        target = folder / f"{model.stem}-{kind}.onnx"
        kept = target.with_suffix(".json")
        if not (target.is_file() and kept.is_file()):
            why = _make(model, target, kept, calibrate if kind == "int8" else None, kind == "int8")
            if why is not None:
                files[kind] = why
                continue
        files[kind] = target
        reports[kind] = json.loads(kept.read_text(encoding="utf-8"))
    return files, reports


def _make(model: Path, target: Path, kept: Path, calibrate: Path | None, int8: bool) -> str | None:
    """Make one file; returns why it could not be made."""
    if int8 and calibrate is None:
        return "no images to calibrate on: give --calibrate"
    try:
        from ..export.optimizer import Job, optimize
    except ModuleNotFoundError as exc:
        return f"making it needs {exc.name}: {install_command('optimize')}"
    try:
        # Worse than asked for is worth a row too: the report says so.
        report = optimize(Job(model, target, int8=int8, images=calibrate, force=True, overwrite=True))
    except YoleanError as exc:
        return str(exc)
    names = {"source": model.name, "target": target.name}  # where they lay is nobody's business
    kept.write_text(json.dumps(report.as_dict() | names, indent=1) + "\n", encoding="utf-8")
    return None
