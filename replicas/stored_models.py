"""Models that a server has in an object store, copied to its machine."""

from __future__ import annotations

from pathlib import Path

from ..batch.stores import file_system, reason, scheme_of
from ..engine.errors import InputError
from ..serving.settings import PREFIX

MODELS = f"{PREFIX}_MODELS"


def fetch_models(models: str, folder: Path) -> str:
    """Copy the models in stores to this machine.

    Args:
        models: value of YOLEAN_MODELS: paths, and one address a line of an .onnx file or a folder of them,
            each with `ID=` before it where it is a file with another name.
        folder: where to; each address gets a folder in it.

    Returns:
        The value with paths in place of the addresses.

    Raises:
        InputError: an address cannot be read, or has no model.
    """
    entries = models.strip("\n").split("\n")
    if not any(store_address(entry) for entry in entries):
        return models
    found = []
    for number, entry in enumerate(entries):
        address = store_address(entry)
        if address is not None:
            copied = _copy(address, folder / str(number))
            entry = entry.replace(address, str(copied))
        found.append(entry)
    return "".join(f"{entry}\n" for entry in found)


def store_address(entry: str) -> str | None:
    """The address of a store in an entry of YOLEAN_MODELS, if there is one."""
    _id, found, rest = entry.partition("=")
    if found and scheme_of(entry) is None:
        entry = rest
    return entry if scheme_of(entry) else None


def _copy(address: str, folder: Path) -> Path:
    """Copy the models of an address into a new folder; the path of the file, or of the folder."""
    fs, path = file_system(address)
    folder.mkdir()
    try:
        if path.endswith(".onnx"):
            fs.get_file(path, str(folder / path.rsplit("/", 1)[-1]))
            return folder / path.rsplit("/", 1)[-1]
        names = fs.glob(f"{path.rstrip('/')}/*.onnx")
        for name in names:
            fs.get_file(name, str(folder / name.rsplit("/", 1)[-1]))
    except Exception as exc:  # each store has its own errors
        raise InputError(f"{MODELS}: {address}: {reason(exc)}") from exc
    if not names:
        raise InputError(f"{MODELS}: {address}: expected an .onnx file, or a folder that has one")
    return folder
