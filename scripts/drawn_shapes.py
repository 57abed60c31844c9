"""Draws the demo models' images: disks, boxes, triangles and stars on textured ground, with exact labels.

Everything comes from one seeded generator, so a seed always gives the same image. Colours are BGR,
coordinates are pixels with x to the right and y down, and angles are radians, clockwise on the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

KINDS = ("disk", "box", "triangle", "star")
TIPS = ("top", "right", "lower_right", "lower_left", "left")
_SHIFT = 4  # OpenCV draws polygons in 1/16 pixel
_MARGIN = 3  # pixels to the image's edge, shadow and outline included

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Generator = np.random.Generator

_BRIGHT = (0xEF5B5B, 0xF6AE2D, 0x2A9D8F, 0x3A86FF, 0x8A4FD8, 0xFF7AA2, 0x6CC551, 0xF4F1DE, 0xD7263D)  # RGB


@dataclass(frozen=True, eq=False)
class Shape:
    """One drawn shape. `frame` is None where an oriented box would have no definite angle."""

    kind: str
    outline: Floats  # (n, 2)
    frame: Floats | None  # (4, 2) corners of the oriented box
    tips: Floats | None  # (5, 2) of a star, in the order of TIPS
    mask: npt.NDArray[np.bool_]  # (height, width) what of it can be seen

    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the visible part."""
        x, y, w, h = cv2.boundingRect(self.mask.astype(np.uint8))
        return float(x), float(y), float(x + w), float(y + h)

    def contour(self) -> Floats:
        """(n, 2) outline of the largest visible part."""
        parts, _ = cv2.findContours(self.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        largest = cv2.approxPolyDP(max(parts, key=cv2.contourArea), 0.6, True)
        # Contours run through pixel centres; half a pixel makes them coordinates of the plane.
        return np.asarray(largest.reshape(-1, 2) + 0.5, np.float32)

    def tip_visible(self) -> list[bool]:
        """Whether each tip lies on a visible part, give or take two pixels."""
        if self.tips is None:
            return []
        near = cv2.dilate(self.mask.astype(np.uint8), np.ones((5, 5), np.uint8))
        height, width = near.shape
        return [bool(near[min(int(y), height - 1), min(int(x), width - 1)]) for x, y in self.tips]


@dataclass(frozen=True)
class Scene:
    """What to draw: size in pixels, how many shapes, how large (radius over shorter side), which kinds."""

    width: int = 320
    height: int = 320
    count: tuple[int, int] = (3, 8)
    radius: tuple[float, float] = (0.06, 0.2)
    kinds: tuple[str, ...] = KINDS
    hidden: float = 0.3  # the part of a shape that later ones may cover; more would make labels guesswork
    ground: str | None = None  # a name in GROUNDS; None draws lots
    centred: bool = False  # for classification: one shape, about the middle
    polished: bool = False  # for showing: all kinds in turn, bright colours, lit from one side, no scribbles


def draw(scene: Scene, seed: int) -> tuple[Image, list[Shape]]:
    """The image of a scene and the shapes in it, in drawing order (later ones lie on top)."""
    rng = np.random.default_rng(seed)
    ground = scene.ground or str(rng.choice(sorted(GROUNDS)))
    canvas = GROUNDS[ground](scene.height, scene.width, rng)
    if not scene.polished:
        _scribble(canvas, int(rng.integers(0, 5)), rng)
    shapes: list[Shape] = []
    wanted = int(rng.integers(scene.count[0], scene.count[1] + 1))
    for index in range(wanted):
        kind = scene.kinds[index % len(scene.kinds)] if scene.polished else str(rng.choice(scene.kinds))
        placed = _place(kind, scene, shapes, rng)
        if placed is not None:
            shape, alpha = placed
            canvas = _paint(canvas, shape, alpha, scene.polished, rng)
            shapes = [replace(s, mask=s.mask & ~shape.mask) for s in shapes] + [shape]
    if not scene.polished:
        _scribble(canvas, int(rng.integers(0, 2)), rng)
        canvas += rng.normal(0.0, rng.uniform(0.0, 9.0), canvas.shape).astype(np.float32)
    return np.clip(canvas, 0, 255).astype(np.uint8), shapes


# ---- shapes ------------------------------------------------------------------------------------------------


def _unit(kind: str, rng: Generator) -> tuple[Floats, Floats | None, Floats | None]:
    """Outline, frame and tips of a shape within the unit circle, upright."""
    frame: list[tuple[float, float]] | None = None
    if kind == "disk":
        # Round or clearly oval and nothing between, so that it is never in doubt whether it has a direction.
        a = 1.0 if rng.random() < 0.55 else float(rng.uniform(0.5, 0.7))
        t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        points = np.stack([np.cos(t), a * np.sin(t)], 1)
        frame = None if a == 1.0 else [(-1, -a), (1, -a), (1, a), (-1, a)]
    elif kind == "box":
        a = float(rng.uniform(0.4, 0.75))
        w, h = 1 / np.hypot(1, a), a / np.hypot(1, a)
        frame = [(-w, -h), (w, -h), (w, h), (-w, h)]
        points = np.array(frame)
    elif kind == "triangle":
        half = float(rng.uniform(0.3, 0.42)) * 2  # half the base, for a height of 2
        shrink = 1 / np.hypot(1, half)
        w, h = half * shrink, shrink
        frame = [(-w, -h), (w, -h), (w, h), (-w, h)]
        points = np.array([(0, -h), (w, h), (-w, h)])
    else:
        t = np.arange(10) * np.pi / 5 - np.pi / 2
        r = np.where(np.arange(10) % 2 == 0, 1.0, rng.uniform(0.42, 0.52))
        points = np.stack([r * np.cos(t), r * np.sin(t)], 1)
    outline = points.astype(np.float32)
    tips = outline[::2] if kind == "star" else None
    return outline, None if frame is None else np.array(frame, np.float32), tips


def _place(kind: str, scene: Scene, shapes: list[Shape], rng: Generator) -> tuple[Shape, Floats] | None:
    """A shape that hides no other too much, with its antialiased cover in 0..1; None where none fits."""
    points, frame, tips = _unit(kind, rng)
    short = min(scene.width, scene.height)
    for attempt in range(40):
        radius = float(rng.uniform(*scene.radius)) * short * (1 - attempt / 120)
        # A star turned by 72 degrees is the same star: within 30 its first tip stays the top one.
        angle = float(rng.uniform(-np.pi / 6, np.pi / 6) if kind == "star" else rng.uniform(-np.pi, np.pi))
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, sin], [-sin, cos]], np.float32) * radius
        room = radius + _MARGIN
        if room * 2 >= short:
            continue
        middle = np.array([scene.width, scene.height]) / 2
        reach = np.maximum(middle - room, 0)
        if scene.centred:
            reach = np.minimum(reach, np.maximum(short / 2 - room, 0))
        centre = (middle + rng.uniform(-1, 1, 2) * reach).astype(np.float32)
        outline, placed_frame, placed_tips = (
            None if p is None else (p @ turn + centre).astype(np.float32) for p in (points, frame, tips)
        )
        assert outline is not None
        alpha = _cover(outline, scene.height, scene.width)
        mask = alpha > 0.5
        if all((s.mask & ~mask).sum() >= (1 - scene.hidden) * _area(s.outline) for s in shapes):
            return Shape(kind, outline, placed_frame, placed_tips, mask), alpha
    return None


def _area(outline: Floats) -> float:
    return float(cv2.contourArea(outline))


def _fixed(outline: Floats) -> npt.NDArray[np.int32]:
    # OpenCV's pixel centres have whole coordinates, ours end in .5.
    return np.round((outline - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _cover(outline: Floats, height: int, width: int) -> Floats:
    alpha = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha, [_fixed(outline)], 255, cv2.LINE_AA, _SHIFT)
    return np.asarray(alpha.astype(np.float32) / 255, np.float32)


# ---- paint -------------------------------------------------------------------------------------------------


def _colour(rng: Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Floats:
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0] * 255, np.float32)


def _distinct_colour(around: Floats, polished: bool, rng: Generator) -> Floats:
    """A colour that stands out from the mean colour around it."""
    if polished:
        codes = rng.permutation(_BRIGHT)
        colours = [np.array([c & 255, c >> 8 & 255, c >> 16], np.float32) for c in codes]
    else:
        colours = [_colour(rng, (0.0, 1.0), (0.15, 1.0)) for _ in range(12)]
    apart = [float(np.linalg.norm(c - around)) for c in colours]
    return next((c for c, d in zip(colours, apart, strict=True) if d > 110), colours[int(np.argmax(apart))])


def _paint(canvas: Floats, shape: Shape, alpha: Floats, polished: bool, rng: Generator) -> Floats:
    """The canvas with the shape on it: perhaps a shadow, then a fill, then perhaps an outline."""
    height, width = alpha.shape
    radius = float(np.linalg.norm(shape.outline - shape.outline.mean(0), axis=1).max())
    colour = _distinct_colour(canvas[shape.mask].mean(0), polished, rng)
    if polished or rng.random() < 0.4:
        offset = np.array([[1, 0, radius * 0.07], [0, 1, radius * 0.11]], np.float32)
        shadow = cv2.GaussianBlur(cv2.warpAffine(alpha, offset, (width, height)), (0, 0), radius * 0.07 + 0.5)
        canvas = canvas * (1 - 0.45 * shadow[..., None])
    hollow = not polished and rng.random() < 0.12
    line = max(1.5, radius * float(rng.uniform(0.12, 0.2) if hollow else rng.uniform(0.04, 0.1)))
    edge = np.zeros((height, width), np.uint8)
    cv2.polylines(edge, [_fixed(shape.outline)], True, 255, round(2 * line), cv2.LINE_AA, _SHIFT)
    rim = np.minimum(edge.astype(np.float32) / 255, alpha)[..., None]
    if hollow:
        return np.asarray(canvas * (1 - rim) + colour * rim, np.float32)
    canvas = canvas * (1 - alpha[..., None]) + _fill(shape, colour, polished, rng) * alpha[..., None]
    if rng.random() < 0.5:
        tone = colour * rng.uniform(0.35, 0.6) if rng.random() < 0.6 else 255 - (255 - colour) * 0.3
        canvas = canvas * (1 - rim) + np.asarray(tone, np.float32) * rim
    return np.asarray(canvas, np.float32)


def _fill(shape: Shape, colour: Floats, polished: bool, rng: Generator) -> Floats:
    """(height, width, 3) of plain colour, shaded as if lit from one side, or striped."""
    height, width = shape.mask.shape
    style = rng.random()
    if not polished and style < 0.4:
        return np.broadcast_to(colour, (height, width, 3))
    angle = -2.2 if polished else float(rng.uniform(-np.pi, np.pi))
    along = _ramp(height, width, angle)
    inside = along[shape.mask]
    unit = (along - inside.min()) / max(float(np.ptp(inside)), 1.0)
    if style < 0.85:
        light = (0.72 + 0.42 * unit)[..., None]
        return np.asarray(np.clip(colour * light, 0, 255), np.float32)
    stripe = (np.sin(unit * float(rng.uniform(14, 30))) > 0).astype(np.float32)[..., None]
    return np.asarray(colour * (1 - 0.25 * stripe), np.float32)


def _scribble(canvas: Floats, count: int, rng: Generator) -> None:
    """Draws thin wandering lines, which are not shapes, into the canvas."""
    height, width = canvas.shape[:2]
    for _ in range(count):
        steps = rng.normal(0, min(height, width) * 0.02, (40, 2)).cumsum(0).cumsum(0) / 6
        path = (rng.uniform(0, 1, 2) * (width, height) + steps).astype(np.float32)
        colour = tuple(float(c) for c in _colour(rng, (0.0, 0.9), (0.1, 1.0)))
        thick = int(rng.integers(1, 4)) * max(1, min(height, width) // 320)
        # 8-bit only: OpenCV does not smooth lines in float images.
        layer = np.clip(canvas, 0, 255).astype(np.uint8)
        cv2.polylines(layer, [_fixed(path)], False, colour, thick, cv2.LINE_AA, _SHIFT)
        canvas[:] = layer


# ---- ground ------------------------------------------------------------------------------------------------


def _ramp(height: int, width: int, angle: float) -> Floats:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.asarray(x * np.cos(angle) + y * np.sin(angle), np.float32)


def _clouds(height: int, width: int, cells: int, rng: Generator) -> Floats:
    """(height, width) smooth noise in 0..1 with about `cells` blobs along the shorter side."""
    short = min(height, width)
    grid = rng.random((cells * height // short + 2, cells * width // short + 2)).astype(np.float32)
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1).astype(np.float32)


def _mix(a: Floats, b: Floats, weight: Floats) -> Floats:
    return np.asarray(a + (b - a) * weight[..., None], np.float32)


def _two(rng: Generator) -> tuple[Floats, Floats]:
    """Two muted colours, the second close to the first."""
    first = _colour(rng, (0.05, 0.6), (0.2, 0.95))
    second = np.clip(first + rng.uniform(-70, 70) + rng.uniform(-25, 25, 3), 0, 255).astype(np.float32)
    return first, second


def _noise(height: int, width: int, rng: Generator) -> Floats:
    weight = 0.65 * _clouds(height, width, 4, rng) + 0.35 * _clouds(height, width, 24, rng)
    return _mix(*_two(rng), weight)


def _gradient(height: int, width: int, rng: Generator) -> Floats:
    along = _ramp(height, width, float(rng.uniform(-np.pi, np.pi)))
    return _mix(*_two(rng), np.asarray((along - along.min()) / np.ptp(along), np.float32))


def _stripes(height: int, width: int, rng: Generator) -> Floats:
    along = _ramp(height, width, float(rng.uniform(-np.pi, np.pi)))
    wave = np.sin(along * 2 * np.pi / (min(height, width) * float(rng.uniform(0.05, 0.25))))
    return _mix(*_two(rng), np.asarray(0.5 + 0.5 * np.clip(wave * 3, -1, 1), np.float32))


def _wood(height: int, width: int, rng: Generator) -> Floats:
    short = min(height, width)
    grain = _ramp(height, width, float(rng.normal(np.pi / 2, 0.15))) / short * 9
    warp = _clouds(height, width, 2, rng) * 5
    warp = warp + cv2.resize(rng.random((90, 5)).astype(np.float32), (width, height)) * 0.8
    rings = np.asarray(0.5 + 0.5 * np.sin((grain + warp) * 2 * np.pi * 0.8), np.float32)
    dark = np.array([rng.uniform(45, 80), rng.uniform(85, 120), rng.uniform(130, 170)], np.float32)
    return _mix(dark, dark * 1.3, rings)


def _blots(height: int, width: int, rng: Generator) -> Floats:
    canvas = _noise(height, width, rng)
    for _ in range(int(rng.integers(2, 5))):
        spot = np.clip((_clouds(height, width, int(rng.integers(3, 8)), rng) - 0.62) * 12, 0, 1)
        canvas = _mix(canvas, np.clip(canvas.mean((0, 1)) + rng.uniform(-60, 60, 3), 0, 255), spot)
    return canvas


GROUNDS: dict[str, Callable[[int, int, Generator], Floats]] = {
    "blots": _blots,
    "gradient": _gradient,
    "noise": _noise,
    "stripes": _stripes,
    "wood": _wood,
}
