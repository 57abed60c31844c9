"""What AV1 data claims: the frame sizes in its sequence headers, which libaom allocates by."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...engine.errors import InputError
from ...postprocess.types import Size
from .limits import Bytes, area, limit

MAX_UNITS = 10_000  # of AV1 data in a file


@dataclass(slots=True)
class Claims:
    """What all parts of a file claim together.

    Attributes:
        sizes: of the image, its items, tracks and frames.
        work: pixels of all AV1 frames.
        units: of AV1 data.
    """

    sizes: list[Size] = field(default_factory=list)
    work: int = 0
    units: int = 0


class Reader:
    """Reads big-endian numbers one after the other.

    Attributes:
        at, end: the next byte, and the first behind the content.
    """

    def __init__(self, data: Bytes, at: int, end: int) -> None:
        """Read `data` from `at`, up to `end` or its own end."""
        self.data, self.at, self.end = data, at, min(end, len(data))

    def number(self, size: int) -> int:
        """The next `size` bytes, unsigned.

        Raises:
            InputError: the content ends before.
        """
        self.at += size
        if self.at > self.end:
            raise InputError(f"a box that ends at byte {self.end}, inside its content")
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def add_av1(payload: Bytes, claims: Claims) -> None:
    """Add what AV1 data in the low-overhead format claims.

    Raises:
        InputError: it is cut off, or has too many units.
    """
    sizes: list[Size] = []
    frames = 0
    reader = Reader(payload, 0, len(payload))
    while reader.at < reader.end:
        claims.units += 1
        limit("units of AV1 data", claims.units, MAX_UNITS)
        head = reader.number(1)
        reader.at += head >> 2 & 1
        size = _leb128(reader) if head & 2 else reader.end - reader.at
        if head >> 3 & 15 == 1:
            sizes.append(_frame_size(payload[reader.at : min(reader.at + size, reader.at + 512)]))
        frames += head >> 3 & 15 in (3, 6)
        reader.at += size
    claims.sizes += sizes
    claims.work += frames * max(map(area, sizes), default=0)


def _leb128(reader: Reader) -> int:
    value = 0
    for shift in range(0, 56, 7):
        byte = reader.number(1)
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return value


def _frame_size(unit: Bytes) -> Size:
    """The largest frame size of an AV1 sequence header (specification, 5.5.1)."""
    bits = _Bits(unit)
    bits.take(4)  # profile, still image
    if bits.take(1):  # the short header of still images
        bits.take(5)
    else:
        delay = 0
        if bits.take(1):  # timing
            bits.take(64)
            if bits.take(1):
                bits.take(bits.zeros())
            if bits.take(1):  # decoder model
                delay = bits.take(5) + 1
                bits.take(42)
        display_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):  # operating points
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delay and bits.take(1):
                bits.take(2 * delay + 1)
            if display_delay and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width = bits.take(width_bits) + 1
    return Size(bits.take(height_bits) + 1, width)


class _Bits:
    """Takes bits from the front; `InputError` where there are no more."""

    def __init__(self, data: Bytes) -> None:
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise InputError("an AV1 header that is cut off")
        return self.value >> self.left & ((1 << count) - 1)

    def zeros(self) -> int:
        """Skip zeros up to a one; how many there were (AV1's uvlc, of which that many bits follow)."""
        count = 0
        while not self.take(1):
            count += 1
        return count
