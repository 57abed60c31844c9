"""Writes images to files, and shows them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2

from ..errors import InputError
from ..images.decoding import Image, quiet_opencv


def write_image(target: Path, image: Image) -> None:
    """Write an image in the format of its suffix.

    Raises:
        InputError: it cannot be written there, or OpenCV does not write that format.
    """
    if not target.suffix or not cv2.haveImageWriter(target.name):
        raise InputError(f"cannot write {target}: expected an image's suffix such as .jpg or .png")
    # Not cv2.imwrite: it fails on non-ASCII names on Windows, and gives no reason.
    try:
        with quiet_opencv:
            written, data = cv2.imencode(target.suffix, image)
    except cv2.error:
        written = False
    if not written:
        height, width = image.shape[:2]
        raise InputError(
            f"cannot write {target}: {target.suffix} does not hold {width}x{height} colour pixels"
        )
    try:
        target.write_bytes(data.tobytes())
    except OSError as exc:
        raise InputError(f"cannot write {target}: {exc.strerror or exc}") from exc


def show_image(image: Image) -> None:
    """Show an image in the notebook that runs this, or in the program that the system opens images with.

    Raises:
        InputError: there is neither.
    """
    _, data = cv2.imencode(".png", image)
    display = _notebook()
    if display is not None:
        display.display(display.Image(data=data.tobytes()))
        return
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise InputError("show: there is no display here; save() writes the image to a file")
    with tempfile.NamedTemporaryFile(suffix=".png", delete=False) as file:  # the viewer reads it later
        file.write(data.tobytes())
    if sys.platform == "win32":
        os.startfile(file.name)
        return
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        subprocess.run([opener, file.name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise InputError(
            f"show: {opener} cannot open images here; save() writes the image to a file"
        ) from exc


def _notebook() -> Any | None:
    """IPython's display module, where a notebook runs this process."""
    shell = sys.modules.get("IPython")
    with suppress(AttributeError, ImportError):
        if shell is not None and hasattr(shell.get_ipython(), "kernel"):
            from IPython import display

            return display
    return None
