"""The thresholds of a tracker, with the names and values of Ultralytics' tracker files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

TrackerType = Literal["bytetrack", "botsort"]
CameraMotion = Literal["sparseOptFlow", "none"]

_CHOICES = {"tracker_type": ("bytetrack", "botsort"), "gmc_method": ("sparseOptFlow", "none")}
_SHARES = ("track_high_thresh", "track_low_thresh", "new_track_thresh", "match_thresh")


class TrackerConfigError(ValueError):
    """A value of a tracker is out of range; the message names it."""


@dataclass(frozen=True)
class TrackerConfig:
    """How boxes are associated. The defaults are those of Ultralytics' bytetrack.yaml.

    Attributes:
        tracker_type: `bytetrack` (boxes as aspect ratio and height), or `botsort` (as width and height).
        track_high_thresh: detections of this score and more are associated first, 0 to 1.
        track_low_thresh: detections above this score, and below the former, are associated with what is left.
        new_track_thresh: a detection that fits no track needs this score to begin one.
        track_buffer: frames for which a lost track is looked for, from 0.
        match_thresh: greatest cost (1 - IoU, fused with the score where `fuse_score` is set) of a match.
        fuse_score: multiply the IoU with the score of the detection.
        gmc_method: how the motion of the camera is estimated, `sparseOptFlow` or `none`.

    Raises:
        TrackerConfigError: a value is out of range.
    """

    tracker_type: TrackerType = "bytetrack"
    track_high_thresh: float = 0.25
    track_low_thresh: float = 0.1
    new_track_thresh: float = 0.25
    track_buffer: int = 30
    match_thresh: float = 0.8
    fuse_score: bool = True
    gmc_method: CameraMotion = "none"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            expected = _expected(field.name, value)
            if expected:
                raise TrackerConfigError(f"{field.name}: expected {expected}, found {value!r}")


def _expected(name: str, value: object) -> str | None:
    """What a value should be; None where it is that."""
    if name in _CHOICES:
        return None if value in _CHOICES[name] else " or ".join(_CHOICES[name])
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    if name in _SHARES:
        return None if number and 0 <= value <= 1 else "a number from 0 to 1"  # type: ignore[operator]
    if name == "track_buffer":
        whole = number and isinstance(value, int) and value >= 0
        return None if whole else "a whole number from 0"
    return None if isinstance(value, bool) else "True or False"


BYTETRACK = TrackerConfig()
BOTSORT = TrackerConfig("botsort", gmc_method="sparseOptFlow")
