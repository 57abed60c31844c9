"""Text on images: its size and colour, and names in characters that OpenCV can draw."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache

import cv2
import numpy as np

from ..images.decoding import Image

Colour = tuple[int, int, int]
"""Blue, green and red, 0 to 255 each."""

INK: Colour = (24, 20, 18)
PAPER: Colour = (255, 255, 255)
_PANEL_OPACITY = 0.68
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Style:
    """Lengths in pixels for one image, from its shorter side; `scale` and `weight` are OpenCV's for text."""

    def __init__(self, canvas: Image, count: int, line_width: int | None) -> None:
        density = min(1.0, max(0.5, (24 / max(count, 1)) ** 0.5))  # many objects: thinner lines, smaller text
        self.unit = max(1.0, min(canvas.shape[:2]) / 320 * density if line_width is None else line_width)
        self.line = round(self.unit)
        self.scale = max(0.4, 0.22 * self.unit)
        self.weight = max(1, round(1.7 * self.scale))
        (_, self.ascent), descent = cv2.getTextSize("Ag", _FONT, self.scale, self.weight)
        self.height = self.ascent + descent
        self.pad = max(2, round(6 * self.scale))

    def width(self, text: str) -> int:
        return int(cv2.getTextSize(text, _FONT, self.scale, self.weight)[0][0])

    def fit(self, text: str, width: int) -> str:
        """Shorten a text to a width in pixels; to "" when not even one letter fits."""
        if self.width(text) <= width:
            return text
        cuts = (f"{text[:n]}.." for n in range(len(text) - 1, 0, -1))
        return next((cut for cut in cuts if self.width(cut) <= width), "")

    def write(self, canvas: Image, text: str, x: int, top: int, ink: Colour) -> None:
        cv2.putText(canvas, text, (x, top + self.ascent), _FONT, self.scale, ink, self.weight, cv2.LINE_AA)


def darken(panel: Image) -> None:
    """Make a part of an image a dark, translucent background for text, in place."""
    panel[:] = cv2.addWeighted(np.full_like(panel, INK), _PANEL_OPACITY, panel, 1 - _PANEL_OPACITY, 0)


def ink_on(background: Colour) -> Colour:
    """Dark or white, whichever has more contrast: by relative luminance (WCAG 2), with a gamma of 2."""
    blue, green, red = (channel * channel / 65025 for channel in background)
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.27 else PAPER


@lru_cache(maxsize=4096)
def writable(character: str) -> bool:
    """Whether OpenCV has a glyph: version 4 has ASCII only, 5 most scripts; both draw "?" for the rest."""
    if character.isascii() or not hasattr(cv2, "FontFace"):
        return character.isascii() and character.isprintable()
    drawn, unknown = np.zeros((2, 32, 64), np.uint8)
    cv2.putText(drawn, character, (8, 24), _FONT, 0.8, (255,), 1)
    cv2.putText(unknown, "?", (8, 24), _FONT, 0.8, (255,), 1)
    return not np.array_equal(drawn, unknown)


def name_of(names: Mapping[int, str], class_id: int) -> str:
    """The name of a class in characters that can be drawn: as it is, or without accents, or `class N`."""
    name = " ".join(names.get(class_id, "").split())
    if not all(map(writable, name)):
        letters = sum(map(str.isalnum, name))
        name = "".join(filter(writable, unicodedata.normalize("NFKD", name))).strip()
        if 2 * sum(map(str.isalnum, name)) < letters:
            name = ""
    return name or f"class {class_id}"
