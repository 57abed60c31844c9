"""The colours of classes."""

from __future__ import annotations

# RGB, by farthest-point search in OKLab among colours that are neither dark, pale nor neon: each is as far as
# possible from those before it, so that the first classes differ most.
_PALETTE = (
    0x248CF8, 0xACE81C, 0xE83C00, 0xFCB0F8, 0x089C74, 0x2CECF4, 0xAC5CBC, 0xFCC468, 0xA87800, 0xA0A4FC,
    0x00B4D4, 0x24DC90, 0xB0B014, 0xF454AC, 0xF88400, 0x34B000, 0xFC8C98, 0xE478FC, 0x8064F8, 0xC05C74,
)  # fmt: skip

PERIOD = len(_PALETTE)
"""Classes with colours of their own; those of further classes repeat."""


def colour(class_id: int) -> tuple[int, int, int]:
    """The BGR colour of a class or of an id, 0 to 255 each; they repeat after `PERIOD`."""
    rgb = _PALETTE[class_id % PERIOD]
    return rgb & 255, rgb >> 8 & 255, rgb >> 16
