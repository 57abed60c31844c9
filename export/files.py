"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..engine.errors import InputError


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse a target that exists or cannot be made, before anything is computed.

    Raises:
        InputError: it exists and `overwrite` is off, it is a folder or a device, or its folder is missing or
            read-only.
    """
    if target.is_dir():
        raise InputError(f"{target} is a folder: name the file to write")
    if target.exists() and not target.is_file():  # a rename would put a file in the place of /dev/null
        raise InputError(f"{target} is no regular file: name the file to write")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists: add --overwrite to replace it, or name another with -o")
    if not target.parent.is_dir():
        raise InputError(f"{target} cannot be written: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{target} cannot be written: the folder {target.parent} is read-only")


def write_whole(target: Path, content: bytes) -> None:
    """Write a file beside its target and move it there, so that the target is never half written.

    A symbolic link stays, and the file that it names is replaced.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    place = Path(os.path.realpath(target))
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except OSError as exc:
        reason = exc.strerror or exc
        raise InputError(f"{target} cannot be written: {reason}; nothing was left behind") from exc
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
