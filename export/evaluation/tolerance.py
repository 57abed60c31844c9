"""How large differences between two predictions may be, and the differences that ties explain."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from .differences import Differences


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The largest differences that count as equal.

    Attributes:
        pixels: of a coordinate of boxes, corners and keypoints.
        score: of scores, visibilities and probabilities, 0 to 1.
        mask: of masks, 1 - IoU.
        other_class: of semantic masks, the share of an image's pixels that have another class.
        depth: of any pixel, relative to the reference's.
    """

    pixels: float
    score: float
    mask: float
    other_class: float = 1e-3
    depth: float = 1e-3

    def at_scale(self, image: tuple[int, int], imgsz: tuple[int, int]) -> Tolerance:
        """The same with `pixels` of a network's input.

        Args:
            image: (height, width) of the image.
            imgsz: (height, width) of the input.
        """
        return replace(self, pixels=self.pixels * max(1.0, max(image) / max(imgsz)))

    def limit(self, name: str) -> float:
        """The tolerance of a field of `Differences`, such as `box`."""
        by_field = {"box": self.pixels, "keypoints": self.pixels, "mask": self.mask}
        by_field |= {"other_class": self.other_class, "depth": self.depth}
        return by_field.get(name, self.score)

    def exceeded(self, found: Differences) -> dict[str, float]:
        """The largest differences that are above the tolerance, by name of the field; NaN counts as above."""
        return {name: value for name, value in found.largest().items() if not value <= self.limit(name)}

    def as_dict(self) -> dict[str, float]:
        """All fields, ready for JSON."""
        return asdict(self)
