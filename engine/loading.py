"""Loads a model file: session, spec, engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError, ModelError
from .model.spec import read_spec
from .pipeline import Engine
from .runtime.devices import Provider
from .runtime.session import Session


def load(
    model: str | Path | bytes,
    device: str = "auto",
    *,
    task: str | None = None,
    names: Mapping[int, str] | Sequence[str] | None = None,
    kpt_shape: tuple[int, int] | None = None,
    threads: int | None = None,
    precision: str | None = None,
    providers: Sequence[str | Provider] | None = None,
    cuda_graph: bool = False,
) -> Engine:
    """Load an ONNX file that Ultralytics exported.

    Args:
        model: the .onnx file, or its bytes.
        device: `auto`, `cpu`, `cuda[:N]`, `tensorrt[:N]`, `openvino[:CPU|GPU|NPU]`, `coreml` or
            `directml[:N]`. A named device is used or refused; only `auto` may fall back to the CPU.
        task: for files without Ultralytics' metadata, as are the next two, which override it.
        names: class names by id.
        kpt_shape: number of keypoints, values of each (2 or 3).
        threads: intra-op threads of one run on the CPU; default: the cores that this process may use.
        precision: `fp32`, `fp16` or `bf16`, where the device offers it.
        providers: ONNX Runtime's provider list, which replaces what `device` implies.
        cuda_graph: replay runs as a CUDA graph; for static exports.

    Returns:
        an engine, which is called like an Ultralytics model.

    Raises:
        ModelError: the file is missing, not a YOLO export, or contradicts itself.
        DeviceError: the device is not usable here.
        InputError: an argument is out of range.
    """
    # Another process may have another working directory.
    source = Path(model).absolute() if isinstance(model, (str, Path)) else model
    state = _state_of(source)  # before it is read: what replaces it meanwhile is another model
    try:
        session = Session(
            model, device, threads=threads, precision=precision, providers=providers, cuda_graph=cuda_graph
        )
        spec = read_spec(
            session.metadata,
            session.inputs,
            session.outputs,
            task=task,
            names=names,
            kpt_shape=kpt_shape,
            run=session.run,
        )
    except (ModelError, InputError) as exc:
        if not isinstance(model, (str, Path)) or isinstance(exc, InputError) or str(model)[:200] in str(exc):
            raise
        raise ModelError(f"{model}: {exc}") from exc
    if cuda_graph and (spec.dynamic or spec.batch is None):
        raise InputError(
            "cuda_graph: a graph replays one shape, and this export has free axes: export it static"
        )
    arguments: dict[str, Any] = {
        "device": device,
        "task": task,
        "names": names,
        "kpt_shape": kpt_shape,
        "threads": threads,
        "precision": precision,
        "providers": providers,
        "cuda_graph": cuda_graph,
    }
    return Engine(session, spec, ModelReload(source, arguments, state))


@dataclass(frozen=True, eq=False)
class ModelReload:
    """How to load an engine's model again.

    Attributes:
        source: the file, or its bytes.
        arguments: of `load`, by name.
        state: what identifies the content of the file, see `_state_of`.
    """

    source: Path | bytes
    arguments: dict[str, Any]
    state: tuple[int, ...]

    def __call__(self, *, threads: int | None = None) -> Engine:
        """Load it, with another number of threads where one is given."""
        return load(self.source, **self.arguments | ({} if threads is None else {"threads": threads}))

    def is_current(self) -> bool:
        """Whether the file is the one that was loaded."""
        return _state_of(self.source) == self.state


def _state_of(source: Path | bytes) -> tuple[int, ...]:
    """Device, inode, size and time of change of a file; empty for bytes, and -1 where there is no file."""
    if not isinstance(source, Path):
        return ()
    try:
        found = source.stat()
    except OSError:
        return (-1,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
