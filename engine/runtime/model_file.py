"""Checks the model argument, a path or bytes, before ONNX Runtime opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError, ModelError


def check_model(model: str | Path | bytes) -> Path | bytes:
    """The path of a file that can be opened, or bytes that are not empty.

    Raises:
        ModelError: the file is missing, empty, a folder or PyTorch weights.
        InputError: neither path nor bytes.
    """
    if isinstance(model, (bytearray, memoryview)):
        model = bytes(model)
    if isinstance(model, bytes):
        if not model:
            raise ModelError("the model is empty: expected the bytes of an .onnx file")
        return model
    if not isinstance(model, (str, Path)):
        raise InputError(f"model: expected a path or bytes of an .onnx file, found {type(model).__name__}")
    path = Path(model)
    if path.suffix in (".pt", ".pth"):
        raise ModelError(
            f"{path} holds PyTorch weights: export them once, with yolean export {path.name}, and load the "
            ".onnx file"
        )
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder: expected an .onnx file")
        with path.open("rb") as file:
            if not file.read(1):
                raise ModelError(f"{path} is empty: expected an .onnx file")
    except FileNotFoundError as exc:
        raise ModelError(f"{path} does not exist: expected an .onnx file") from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ModelError(f"{str(path)[:200]!r} cannot be read: {reason}") from exc
    return path


def path_or_bytes(model: Path | bytes, options: Any) -> str | bytes:
    """What to pass to ONNX Runtime: bytes in place of a path that is no UTF-8, which it would refuse."""
    if isinstance(model, bytes):
        return model
    try:
        str(model).encode()
    except UnicodeEncodeError:
        # Given bytes, it looks for external weights in the working directory, where those of another model
        # may be. The right folder may be no UTF-8 either: then a folder that does not exist is named.
        folder = str(model.parent).encode(errors="backslashreplace").decode()
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        return model.read_bytes()
    return str(model)
