"""The lean and the INT8 file of a model, made once and kept, with what `yolean optimize` reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from .._install_advice import install_command
from ..engine.errors import YoleanError
from .model_records import HeldOutAgreement, OptimizedFile

KINDS: tuple[Literal["lean", "int8"], ...] = ("lean", "int8")


def model_files(
    model: Path, folder: Path, calibrate: Path | None
) -> tuple[dict[str, Path | str], list[OptimizedFile]]:
    """The files by name (`plain`, `lean`, `int8`, `pt`), or in a line why there is none; and the reports.

    Files that an earlier run left in `folder` are used again.

    Args:
        model: a plain export; weights of the same name beside it are `pt`.
        folder: where files are made.
        calibrate: images for INT8, or None for no such file.
    """
    weights = model.with_suffix(".pt")
    files: dict[str, Path | str] = {"plain": model}
    files["pt"] = weights if weights.is_file() else f"no {weights.name} beside the model"
    reports = []
    for kind in KINDS:
        file = folder / f"{model.stem}-{kind}.onnx"
        report = file.with_suffix(".json")
        if not (file.is_file() and report.is_file()):
            reason = _make(model, file, report, calibrate, kind == "int8")
            if reason is not None:
                files[kind] = reason
                continue
        files[kind] = file
        reports.append(_read(kind, json.loads(report.read_text(encoding="utf-8"))))
    return files, reports


def _make(model: Path, file: Path, kept: Path, calibrate: Path | None, int8: bool) -> str | None:
    """Make one file; returns why it could not be made."""
    if int8 and calibrate is None:
        return "no images to calibrate on: give --calibrate"
    try:
        from ..export.optimizer import OptimizeOptions, optimize
    except ModuleNotFoundError as exc:
        return f"making it needs {exc.name}: {install_command('optimize')}"
    try:
        # A file that `yolean optimize` would refuse is measured too: its record holds the problem.
        images = calibrate if int8 else None
        report = optimize(OptimizeOptions(model, file, int8=int8, images=images, force=True, overwrite=True))
    except YoleanError as exc:
        return str(exc)
    names = {"source": model.name, "target": file.name}  # not the folders of this machine
    kept.write_text(json.dumps(report.as_dict() | names, indent=1) + "\n", encoding="utf-8")
    return None


def _read(kind: Literal["lean", "int8"], report: dict[str, Any]) -> OptimizedFile:
    agreement = report["agreement"]
    before, after = report["bytes"]
    names = HeldOutAgreement.__struct_fields__
    return OptimizedFile(
        kind=kind,
        bytes=(before, after),
        agreement=HeldOutAgreement(**{name: agreement[name] for name in names}) if agreement else None,
        problems=report["problems"],
        notes=report["notes"],
        details={name: str(value) for name, value in report["details"].items()},
    )
