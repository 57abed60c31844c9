"""Draws results onto an image, with OpenCV alone.

Every length (lines, text, joints) follows from one unit, derived from the shorter side of the image, so that
a thumbnail and a 12-megapixel photograph look alike. Objects are drawn in ascending order of score: the best
lies on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..images.decoding import Image
from .dense_views import DepthMap, SemanticMask
from .lettering import INK, PAPER, Colour, Style, darken, ink_on, name_of
from .map_drawing import draw_depth, draw_semantic_mask
from .palette import colour
from .views import OBB, Boxes, Keypoints, Masks, Probs

_MASK_OPACITY = 0.42
_VISIBLE = 0.5
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates: a sixteenth of a pixel
_FAR = 1 << 20  # coordinates are clipped to this, beyond any image: they would overflow an int32

# COCO's seventeen keypoints by body part: palette index (cold left, warm right), keypoints, limbs.
_BODY: tuple[tuple[int, tuple[int, ...], tuple[tuple[int, int], ...]], ...] = (
    (1, (), ((5, 6), (5, 11), (6, 12), (11, 12))),
    (3, (0, 1, 2, 3, 4), ((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6))),
    (0, (11, 13, 15), ((11, 13), (13, 15))),
    (2, (12, 14, 16), ((12, 14), (14, 16))),
    (5, (5, 7, 9), ((5, 7), (7, 9))),
    (14, (6, 8, 10), ((6, 8), (8, 10))),
)


class Annotatable(Protocol):
    """The parts of `Results` that are drawn."""

    @property
    def orig_img(self) -> Image: ...
    @property
    def names(self) -> Mapping[int, str]: ...
    @property
    def boxes(self) -> Boxes | None: ...
    @property
    def obb(self) -> OBB | None: ...
    @property
    def masks(self) -> Masks | None: ...
    @property
    def keypoints(self) -> Keypoints | None: ...
    @property
    def probs(self) -> Probs | None: ...
    @property
    def semantic_mask(self) -> SemanticMask | None: ...
    @property
    def depth(self) -> DepthMap | None: ...


def annotate(
    results: Annotatable,
    image: Image | None = None,
    *,
    boxes: bool = True,
    labels: bool = True,
    conf: bool = True,
    masks: bool = True,
    keypoints: bool = True,
    probs: bool = True,
    line_width: int | None = None,
) -> Image:
    """Draw results onto a copy of an image.

    Labels never cover each other: where there is no free place for one, that of the lower score is left out;
    the colour of its box still tells the class.

    Args:
        results: of one image.
        image: (H, W), (H, W, 1) or (H, W, 3) uint8, BGR; default: `results.orig_img`.
        boxes: whether to draw boxes.
        labels: whether to write the class name at each box or mask, and the legend of a map. A tracked object
            has its id before its name, and the colour of its id.
        conf: whether to add the score to each name; in the legend of a semantic mask, its share.
        masks: whether to draw masks, semantic masks and depth.
        keypoints: whether to draw keypoints and limbs.
        probs: whether to list the most probable classes.
        line_width: in pixels; default: from the size of the image. Text and joints follow it.

    Returns:
        (H, W, 3) uint8, BGR, also for a grey image.
    """
    canvas = _bgr_copy(results.orig_img if image is None else image)
    found: Any = results.boxes if results.obb is None else results.obb
    style = Style(canvas, 0 if found is None else len(found.cls), line_width)
    if masks and results.semantic_mask is not None:
        draw_semantic_mask(canvas, results.semantic_mask, results.names, style, labels, conf)
    if masks and results.depth is not None:
        draw_depth(canvas, results.depth, style, labels)
    parts = results.masks.parts if masks and results.masks is not None else []
    if found is not None:
        colours = [colour(int(c)) for c in (found.cls if found.id is None else found.id)]
        corners = found.xyxy if results.obb is None else found.xyxyxyxy
        if parts:
            _draw_masks(canvas, parts, colours, style)
        if boxes:
            _draw_boxes(canvas, corners, colours, style)
    if keypoints and results.keypoints is not None:
        _draw_keypoints(canvas, results.keypoints, style)
    if found is not None and labels and (boxes or parts):
        texts = [name_of(results.names, int(c)) for c in found.cls]
        if found.id is not None:
            texts = [f"id:{number} {text}" for number, text in zip(found.id, texts, strict=True)]
        if conf:
            texts = [f"{text} {score:.2f}" for text, score in zip(texts, found.conf, strict=True)]
        _draw_labels(canvas, corners, texts, colours, style)
    if probs and results.probs is not None:
        _draw_panel(canvas, results.probs, results.names, style, conf)
    return canvas


def _bgr_copy(image: Image) -> Image:
    if image.ndim == 2 or image.shape[2] < 3:
        grey = image if image.ndim == 2 else image[:, :, 0]
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image[:, :, :3], order="C", copy=True)


def _fixed(points: NDArray[Any]) -> NDArray[np.int32]:
    """Points in pixels to OpenCV's fixed-point integers."""
    fixed: NDArray[np.int32] = np.rint(np.clip(points, -_FAR, _FAR) * (1 << _SHIFT)).astype(np.int32)
    return fixed


def _draw_masks(
    canvas: Image, parts: list[list[NDArray[np.float32]]], colours: list[Colour], style: Style
) -> None:
    """Fill all masks on one layer, blend it once, then draw the contours of their parts."""
    pairs = zip(parts, colours, strict=True)
    shapes = [([_fixed(part) for part in pieces], tint) for pieces, tint in pairs if pieces]
    layer, width = canvas.copy(), max(1, round(style.unit * 0.8))
    for pieces, tint in reversed(shapes):
        cv2.fillPoly(layer, pieces, tint, cv2.LINE_8, _SHIFT)
    cv2.addWeighted(layer, _MASK_OPACITY, canvas, 1 - _MASK_OPACITY, 0, dst=canvas)
    for pieces, tint in reversed(shapes):
        cv2.polylines(canvas, pieces, True, tint, width, cv2.LINE_AA, _SHIFT)


def _draw_boxes(canvas: Image, corners: NDArray[Any], colours: list[Colour], style: Style) -> None:
    """Draw boxes, (N, 4) x1, y1, x2, y2 or (N, 4, 2) corners."""
    for box, tint in zip(corners[::-1], colours[::-1], strict=True):
        if box.ndim == 2:
            short = min(np.hypot(*(box[1] - box[0])), np.hypot(*(box[2] - box[1])))
            line = max(1, min(style.line, round(float(short) / 8)))  # a thick line would hide a small object
            cv2.polylines(canvas, [_fixed(box)], True, tint, line, cv2.LINE_AA, _SHIFT)
            continue
        # Four bars on whole pixels, inside the image: anti-aliasing would blur them, and a line centred
        # on the border would lose half its width.
        x0, y0, x1, y1 = _frame(canvas, box, style)
        dx, dy = min(style.line, x1 - x0), min(style.line, y1 - y0)
        canvas[y0 : y0 + dy, x0:x1] = canvas[y1 - dy : y1, x0:x1] = tint
        canvas[y0:y1, x0 : x0 + dx] = canvas[y0:y1, x1 - dx : x1] = tint


def _frame(canvas: Image, box: NDArray[Any], style: Style) -> tuple[int, int, int, int]:
    """Outer edge of the line of a box, inside the image: left, top, right, bottom (both exclusive)."""
    corners, half = box.reshape(-1, 2), style.line / 2
    size = np.array([canvas.shape[1], canvas.shape[0]])
    x0, y0 = np.clip(np.rint(corners.min(axis=0) - half), 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.rint(corners.max(axis=0) + half), 0, size).astype(int).tolist()
    return x0, y0, x1, y1


def _draw_labels(
    canvas: Image, corners: NDArray[Any], texts: list[str], colours: list[Colour], style: Style
) -> None:
    """Write each text on a filled rectangle at its box, best score first, where no other one is."""
    height, width = canvas.shape[:2]
    taken = np.zeros((height, width), np.bool_)
    for box, full, tint in zip(corners, texts, colours, strict=True):
        text = style.fit(full, width - 2 * style.pad)
        w, h = style.width(text) + 2 * style.pad, style.height + style.pad
        if not text or h > height:
            continue
        x0, y0, x1, y1 = _frame(canvas, box, style)
        tip = x0 if box.ndim == 1 else int(box[box[:, 1].argmin(), 0]) - w // 2
        left = max(x0, min(tip, x1 - w))
        # Above, inside, below, beside: in that order.
        places = ((left, y0 - h), (left, y0), (x0, y0 - h), (x1 - w, y0 - h), (left, y1), (x1 - w, y1),
                  (x1, y0), (x0 - w, y0), (x1 - w, y0), (x0, y1 - h), (left, y0 + h))  # fmt: skip
        for left, top in places:
            x, y = min(max(left, 0), width - w), min(max(top, 0), height - h)
            area = taken[y : y + h, x : x + w]
            if not area.any():
                area[:] = True
                canvas[y : y + h, x : x + w] = tint
                style.write(canvas, text, x + style.pad, y + style.pad // 2, ink_on(tint))
                break


def _draw_keypoints(canvas: Image, keypoints: Keypoints, style: Style) -> None:
    """Draw keypoints, and limbs for COCO's seventeen: the skeleton of others is unknown."""
    points = _fixed(keypoints.xy)
    seen = np.full(points.shape[:2], True) if keypoints.conf is None else keypoints.conf >= _VISIBLE
    body = _BODY if points.shape[1] == 17 else tuple((i, (i,), ()) for i in range(points.shape[1]))
    for xy, visible in zip(points[::-1].tolist(), seen[::-1], strict=True):
        shown = [point for point, ok in zip(xy, visible, strict=True) if ok]
        # Small persons get finer lines than large ones, or they would disappear below their own joints.
        extent = np.ptp(shown, axis=0).max() / (40 << _SHIFT) if len(shown) > 1 else 2 * style.unit
        limb, radius = max(1, round(min(style.unit, extent))), max(1.2, min(style.unit * 1.6, extent * 1.1))
        for index, _, limbs in body:
            for a, b in limbs:
                if visible[a] and visible[b]:
                    cv2.line(canvas, xy[a], xy[b], colour(index), limb, cv2.LINE_AA, _SHIFT)
        for index, members, _ in body:
            for i in filter(visible.__getitem__, members):
                # A dark rim makes a dot visible on its own limb and on a bright background.
                for size, ink in ((radius * 1.3 + 0.4, INK), (radius, colour(index))):
                    cv2.circle(canvas, xy[i], round(size * (1 << _SHIFT)), ink, -1, cv2.LINE_AA, _SHIFT)


def _draw_panel(canvas: Image, probs: Probs, names: Mapping[int, str], style: Style, conf: bool) -> None:
    """List the five most probable classes with bars on a translucent panel in the top left corner."""
    height, width = canvas.shape[:2]
    pad, bar = 2 * style.pad, max(2, style.height // 5)
    drop = style.height + style.pad // 2  # from a row's top to its bar
    step = drop + bar + style.pad
    ids = probs.top5[: max(0, (height - 2 * pad) // step)]
    texts = [name_of(names, i) for i in ids]
    score_width = style.width(" 0.00") if conf else 0
    wanted = max([8 * style.height, *(style.width(text) + score_width for text in texts)])
    inner = min(wanted, width - 4 * pad)
    if not ids or inner <= score_width:
        return
    darken(canvas[pad : pad + len(ids) * step + pad, pad : 3 * pad + inner])
    left, y = 2 * pad, pad + pad // 2
    for i, text, score in zip(ids, texts, probs.top5conf, strict=False):
        style.write(canvas, style.fit(text, inner - score_width), left, y, PAPER)
        if conf:
            value = f"{score:.2f}"
            style.write(canvas, value, left + inner - style.width(value), y, PAPER)
        track = canvas[y + drop : y + drop + bar, left : left + inner]
        track[:] = (track + np.float32(50)).clip(0, 255)
        track[:, : max(1, round(inner * float(score)))] = colour(i)
        y += step
