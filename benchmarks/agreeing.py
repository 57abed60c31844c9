"""One model's answers beside those of a reference file, image by image."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import load
from ..engine.errors import InputError
from ..export.evaluation.differences import Differences
from .answers import Plain, as_answer, compare

PIXELS, SCORE, MASK = 1.0, 2e-3, 0.97
"""What equal means: pixels, score, and IoU of filled outlines; as in `tests/golden`."""

_NAMES = {
    "box": "box {:.3g} px",
    "keypoints": "keypoint {:.3g} px",
    "score": "score {:.2g}",
    "visibility": "visibility {:.2g}",
    "probs": "probability {:.2g}",
    "mask": "mask IoU {:.3f}",
}


@dataclass(frozen=True)
class Limits:
    """Tolerances: most pixels, most of a score, least mask IoU."""

    pixels: float = PIXELS
    score: float = SCORE
    mask: float = MASK

    def as_dict(self) -> dict[str, float]:
        """Ready for JSON."""
        return asdict(self)

    def beyond(self, found: Differences) -> list[str]:
        """Which of the differences are larger than they may be."""
        most = dict.fromkeys(("box", "keypoints"), self.pixels) | {"mask": 1 - self.mask}
        most |= dict.fromkeys(("score", "visibility", "probs"), self.score)
        values = {name: getattr(found, name) for name in most}
        return [name for name, value in values.items() if value is not None and value > most[name]]


@dataclass(frozen=True)
class Said:
    """A reference file: what was answered with a model, and at which thresholds and input size.

    Attributes:
        model: name of the .onnx file.
        version: of Ultralytics, None where the file does not tell.
        options: for the call of a model.
        images: answers by the name of the image.
    """

    model: str
    version: str | None
    options: dict[str, Any]
    images: dict[str, Plain]


def read_said(file: Path) -> Said | str:
    """A reference file, or in a line why it is none."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        options: dict[str, Any] = {name: float(said[name]) for name in ("conf", "iou")}
        options["max_det"], imgsz = int(said["max_det"]), said["imgsz"]
        options["imgsz"] = imgsz if isinstance(imgsz, int) else tuple(map(int, imgsz))
        images = {Path(name).name: dict(answer) for name, answer in said["images"].items()}
        return Said(Path(said["model"]).name, said.get("ultralytics"), options, images)
    except OSError as exc:
        return f"it cannot be read: {exc.strerror or exc}"
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        return "not a reference file: " + (f"it has no {exc}" if isinstance(exc, KeyError) else str(exc))


@dataclass
class Row:
    """How far one model's answers agree.

    Attributes:
        model: name without suffix.
        task: of the model.
        version: of Ultralytics, if known.
        about: layout, provider, device and number of threads.
        images: that were compared.
        objects: of the reference; None for classify.
        missing, extra: objects of the reference or of yolean alone, not counting those at the threshold.
        threshold: objects of one side alone, whose score is within the tolerance of the threshold.
        worst: by kind of difference, its largest value and the image.
        top: for classify, images with the same best class, and with the same five.
        disagreeing: by image, the kinds of difference that are beyond the tolerances.
        absent: images of the reference that are not in the folder.
    """

    model: str
    task: str
    version: str | None
    about: dict[str, Any]
    images: int = 0
    objects: int | None = None
    missing: int = 0
    extra: int = 0
    threshold: list[dict[str, Any]] = field(default_factory=list)
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    top: tuple[int, int] | None = None
    disagreeing: dict[str, list[str]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)

    def add(self, image: str, said: Plain, answer: Plain, conf: float, limits: Limits) -> None:
        """Compare one image more.

        Raises:
            InputError: the answers are not comparable.
        """
        found = compare(said, answer)
        wrong = limits.beyond(found)
        for side in ("missing", "extra"):
            scores = getattr(found, side)
            near = [score for score in scores if abs(score - conf) <= limits.score]
            by = "Ultralytics" if side == "missing" else "yolean"
            self.threshold += [{"image": image, "score": round(s, 6), "found_by": by} for s in near]
            count = len(scores) - len(near)
            setattr(self, side, getattr(self, side) + count)
            wrong += [side] if count else []
        for name in _NAMES:
            value = getattr(found, name)
            if value is not None and value > self.worst.get(name, (-1.0, ""))[0]:
                self.worst[name] = value, image
        self.images += 1
        if "top5" in said:
            one, other = said["top5"], answer["top5"]
            first, five = self.top or (0, 0)
            self.top = first + (one[:1] == other[:1]), five + (set(one) == set(other))
        else:
            self.objects = (self.objects or 0) + len(said["cls"])
        if wrong:
            self.disagreeing[image] = wrong

    def cells(self) -> list[str]:
        """Images, objects, missing and extra ones, then the worst differences, for a table."""

        def worst(text: str, *names: str) -> str:
            values = [self._value(name) for name in names if name in self.worst]
            return text.format(max(values)) if values else ""

        agree = f"{self.images - len(self.disagreeing)}/{self.images}"
        counts = ["", ""] if self.objects is None else [str(self.objects), f"{self.missing}, {self.extra}"]
        top = "" if self.top is None else f"{self.top[0]}, {self.top[1]}"
        differences = worst("{:.3f}", "box"), worst("{:.5f}", "score", "probs"), worst("{:.4f}", "mask")
        return [agree, *counts, *differences, worst("{:.3f}", "keypoints"), top]

    def lines(self) -> Iterator[str]:
        """What a reader of the table has to know besides."""
        if self.disagreeing:
            kinds = {kind for wrong in self.disagreeing.values() for kind in wrong}
            parts = [
                f"{text.format(self._value(name))} in {self.worst[name][1]}"
                for name, text in _NAMES.items()
                if name in kinds
            ]
            for side, number in (("missing", self.missing), ("extra", self.extra)):
                if side in kinds:
                    where = ", ".join(name for name, wrong in self.disagreeing.items() if side in wrong)
                    parts.append(f"{number} {side} in {where}")
            yield f"{self.model}: {len(self.disagreeing)} of {self.images} disagree: {'; '.join(parts)}"
        for one in self.threshold:
            yield (
                f"{self.model}: {one['image']}: at the threshold, found by {one['found_by']} alone: "
                f"score {one['score']:.4f}"
            )
        if self.absent:
            yield f"{self.model}: not compared, no such images: {', '.join(self.absent)}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; what is not finite is None."""
        plain = asdict(self)
        plain["agree"] = self.images - len(self.disagreeing)
        values = {name: self._value(name) for name in self.worst}
        plain["worst"] = {
            ("mask_iou" if name == "mask" else name): {
                "value": round(value, 5) + 0.0 if math.isfinite(value) else None,
                "image": self.worst[name][1],
            }
            for name, value in values.items()
        }
        plain["top1"], plain["top5"] = plain.pop("top") or (None, None)
        return plain

    def _value(self, name: str) -> float:
        """The worst difference as it is told: of masks, the IoU."""
        value = self.worst[name][0]
        return 1 - value if name == "mask" else value


def compare_model(
    file: Path,
    said: Said,
    images: Path,
    limits: Limits,
    loading: dict[str, Any],
    tell: Callable[[str], None],
) -> Row:
    """One model's answers beside what was said.

    Args:
        images: the folder of the images.
        loading: for `yolean.load`.
        tell: is called with the model's name after every image.

    Raises:
        YoleanError: the model does not load, or an image cannot be read or compared.
    """
    model = load(file, **loading)
    session = model.session
    about = {
        "layout": model.spec.layout.kind,
        "provider": session.provider,
        "device": str(session.device),
        "threads": session.threads,
    }
    row = Row(file.stem, model.task, said.version, about)
    for name, expected in said.images.items():
        tell(file.stem)
        if not (images / name).is_file():
            row.absent.append(name)
            continue
        answer = as_answer(model(str(images / name), **said.options)[0])
        try:
            row.add(name, expected, answer, said.options["conf"], limits)
        except InputError as exc:
            raise InputError(f"{name}: {exc}") from exc
    return row
