"""Draws semantic masks and depth maps over an image, each with its legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...postprocess.map_resizing import corner_aligned, nearest
from ...postprocess.semantic import IGNORED
from ...postprocess.types import Bool, Float, Size
from ..images.decoding import Image
from .dense_views import DepthMap, SemanticMask
from .lettering import PAPER, Colour, Style, darken, name_of
from .palette import PERIOD, colour

_MASK_OPACITY = 0.5
_DEPTH_OPACITY = 0.62
_SAMPLES = 1 << 16  # pixels that tell which depths are usual
_NEAREST = 0.01  # share of the pixels that may be nearer than the legend's near end
_CLASSES = 8  # rows of a legend


def draw_semantic_mask(
    canvas: Image, mask: SemanticMask, names: Mapping[int, str], style: Style, labels: bool, shares: bool
) -> None:
    """Tint each pixel in the colour of its class, and list the largest classes.

    Pixels of no class, and of classes that were not asked for, keep their colour.

    Args:
        canvas: (H, W, 3) BGR, drawn on.
        mask: of the image.
        names: class names by id.
        style: of the canvas.
        labels: whether to list the classes.
        shares: whether to list their shares of the pixels, too.
    """
    if not len(mask):
        return
    ids = nearest(mask.data.numpy(), Size.of(canvas))
    plain: Bool = ids == IGNORED
    shift = int(len(names) == 1)  # of one class, 0 is the background
    if shift:
        plain |= ids == 0
    table = np.array([colour(i - shift) for i in range(256)], np.uint8)[:, None]
    tints = cv2.applyColorMap((ids if ids.dtype == np.uint8 else ids % PERIOD).astype(np.uint8), table)
    _blend(canvas, tints, plain, _MASK_OPACITY)
    if not labels:
        return
    found = [(i - shift, share) for i, share in mask.shares.items() if i - shift in names]
    rows = [
        (colour(i), name_of(names, i), f"{100 * share:.1f}%" if shares else "")
        for i, share in sorted(found, key=lambda pair: -pair[1])
    ]
    _draw_classes(canvas, rows[:_CLASSES], style)


def draw_depth(canvas: Image, depth: DepthMap, style: Style, legend: bool) -> None:
    """Tint each pixel by its depth: near is red, far is blue. Pixels without depth keep their colour.

    Colours are linear in the inverse of the depth, which is linear in the distances that things seem to have
    moved by, seen from another place: near things, which differ most there, differ most in colour.

    Args:
        canvas: (H, W, 3) BGR, drawn on.
        depth: of the image.
        style: of the canvas.
        legend: whether to draw the scale of colours in metres.
    """
    if not len(depth) or depth.range is None:
        return
    values = corner_aligned(depth.data.numpy(), Size.of(canvas))
    near, far = _usual(values), depth.range[1]
    unknown: Bool = ~(values > 0)
    inverse = 1 / np.where(unknown, np.float32(far), values)
    scale = 255 / max(1 / near - 1 / far, 1e-9)
    levels = ((inverse - 1 / far) * scale).clip(0, 255).astype(np.uint8)
    _blend(canvas, cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), unknown, _DEPTH_OPACITY)
    if legend:
        middle = 2 / (1 / near + 1 / far)
        nearer = "<" if depth.range[0] < near else ""
        texts = [f"{nearer}{_metres(near)}", _metres(middle), f"{_metres(far)} m"]
        _draw_scale(canvas, texts if far > near else texts[2:], style)


def _usual(values: Float) -> float:
    """The depth from which on colours differ, in metres: a single near pixel would take all of them."""
    flat = values.ravel()
    sample = flat[:: max(1, len(flat) // _SAMPLES)]
    sample = sample[sample > 0]
    return float(np.quantile(sample if len(sample) else flat[flat > 0], _NEAREST))


def _metres(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _blend(canvas: Image, tints: NDArray[Any], plain: Bool, opacity: float) -> None:
    """Blend colours into a canvas, but for the pixels that stay plain."""
    blended = cv2.addWeighted(tints, opacity, canvas, 1 - opacity, 0)
    if plain.any():
        np.copyto(canvas, blended, where=~plain[:, :, None])
    else:
        canvas[:] = blended


def _draw_classes(canvas: Image, rows: Sequence[tuple[Colour, str, str]], style: Style) -> None:
    """List colours, names and values on a panel in the top left corner, in the upper half."""
    height, width = canvas.shape[:2]
    pad, square = 2 * style.pad, style.height
    step = style.height + style.pad
    rows = rows[: (height // 2 - pad) // step] if height // 2 > pad else []
    values = max([style.width(value) + pad for *_, value in rows if value], default=0)
    names = max((style.width(name) for _, name, _ in rows), default=0)
    inner = min(square + style.pad + names + values, width - 4 * pad)
    room = inner - square - style.pad - values
    if not rows or room < style.height:
        return
    darken(canvas[pad : pad + len(rows) * step + pad, pad : 3 * pad + inner])
    left, y = 2 * pad, pad + pad // 2
    for tint, name, value in rows:
        canvas[y : y + square, left : left + square] = tint
        style.write(canvas, style.fit(name, room), left + square + style.pad, y, PAPER)
        style.write(canvas, value, left + inner - style.width(value), y, PAPER)
        y += step


def _draw_scale(canvas: Image, texts: Sequence[str], style: Style) -> None:
    """Draw the colours of depths, near to far, and one text or three on a panel in the bottom left corner."""
    height, width = canvas.shape[:2]
    pad, bar = 2 * style.pad, style.height
    wanted = max(14 * style.height, sum(map(style.width, texts)) + 2 * len(texts) * style.pad)
    inner, tall = min(wanted, width - 4 * pad), bar + style.pad + style.height + pad
    if inner < sum(map(style.width, texts)) or tall + pad > height:
        return
    top, left = height - pad - tall, 2 * pad
    darken(canvas[top : top + tall, pad : 3 * pad + inner])
    ramp = np.linspace(255 if len(texts) > 1 else 0, 0, inner).astype(np.uint8)[None]
    y = top + pad // 2
    canvas[y : y + bar, left : left + inner] = cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)
    for place, text in zip((0, 0.5, 1) if len(texts) > 1 else (0,), texts, strict=True):
        x = left + round(place * (inner - style.width(text)))
        style.write(canvas, text, x, y + bar + style.pad, PAPER)
