"""Images to try a model on, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ..engine.errors import InputError
from ..engine.images.decoding import IMAGE_SUFFIXES
from ..models import demo_images

T = TypeVar("T")


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
    """Write a file beside its place and move it there: it is whole, or what it was before.

    Links are followed, and stay.

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


def find_images(folder: Path | None) -> list[Path]:
    """The images in a folder and below it, by name; without a folder, the drawn ones of the demo.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if folder is None:
        return demo_images()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: expected one with images such as the model will see")
    files = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    found = sorted(path for path in files if path.is_file())
    if not found:
        raise InputError(f"{folder} holds no images: expected some such as the model will see")
    return found


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]
