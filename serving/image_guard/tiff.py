"""The header of a TIFF: its size, and the size of the strips or tiles that libtiff allocates."""

from __future__ import annotations

from ...engine.errors import InputError
from ...postprocess.types import Size
from .limits import area, limit, unpack

MAX_TAGS = 1000  # libtiff takes up to 4096, but compares each with each
MAX_PAGES = 10_000
MAX_STRIPS = 1 << 14  # strips or tiles; each costs up to 60 us
MAX_STRIP_BYTES = 1 << 26  # beside twice the file

# The tags that say how much memory the image takes.
_WIDTH, _HEIGHT, _BITS, _CHANNELS, _PLANES = 256, 257, 258, 277, 284
_ROWS_PER_STRIP, _STRIP_LENGTHS = 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 322, 323, 324, 325
_TAGS = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _CHANNELS, _PLANES, _ROWS_PER_STRIP, _STRIP_LENGTHS}
    | {_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS}
)
_VALUE_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # bytes, by the type of a tag
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}  # for `struct`, by type


def tiff_size(data: bytes) -> Size:
    """The size of a TIFF or of its strips or tiles, whichever is larger.

    Raises:
        InputError: the header is unsound, or its tags, pages, strips or tiles take too much.
    """
    tags = _tags(data)

    def number(tag: int, default: int) -> int:
        return max(tags.get(tag, ()), default=default)

    size = Size(number(_HEIGHT, 0), number(_WIDTH, 0))
    if min(size) < 1:
        raise InputError(f"a size of {size.width}x{size.height}")
    limit("channels", number(_CHANNELS, 1), 4)
    limit("bits a channel", number(_BITS, 1), 16)  # OpenCV would read more, but not as an image of 8 bits
    # No memory is touched for more rows than there are.
    piece = Size(min(number(_ROWS_PER_STRIP, size.height), size.height), size.width)
    if tags.keys() & {_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS}:
        piece = Size(number(_TILE_HEIGHT, 0), number(_TILE_WIDTH, 0))
    if min(piece) < 1:
        raise InputError(f"pieces of {piece.width}x{piece.height} pixels")
    pieces = -(-size.width // piece.width) * -(-size.height // piece.height)
    pieces *= number(_CHANNELS, 1) if number(_PLANES, 1) == 2 else 1
    limit("strips or tiles", pieces, MAX_STRIPS)
    lengths = tags.get(_STRIP_LENGTHS, ()) + tags.get(_TILE_LENGTHS, ()) or (len(data),) * pieces
    limit("bytes in a strip or tile", max(lengths), len(data))
    limit("bytes in strips or tiles", sum(lengths), 2 * len(data) + MAX_STRIP_BYTES)
    return max(size, piece, key=area)


def _tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The integers in the first directory; of a long list the first 16384.

    Raises:
        InputError: there are more directories, tags and bytes in tags than libtiff reads in little time.
    """
    order = "<" if data[:1] == b"I" else ">"
    big = b"+" in data[2:4]
    step, inline, number, place = (20, 8, "Q", "Q") if big else (12, 4, "H", "I")
    skip = 8 if big else 2
    first = at = unpack(order + place, data, inline)[0]
    pages: set[int] = set()
    while at and at not in pages and at + skip <= len(data):
        pages.add(at)
        limit("pages", len(pages), MAX_PAGES)
        at += skip + step * unpack(order + number, data, at)[0]
        at = unpack(order + place, data, at)[0] if at + inline <= len(data) else 0
    count = unpack(order + number, data, first)[0]
    limit("tags", count, MAX_TAGS)
    tags: dict[int, tuple[int, ...]] = {}
    outside = 0
    for at in range(first + skip, first + skip + step * count, step):
        tag, kind, values = unpack(order + "HH" + place, data, at)
        length = values * (_VALUE_SIZES[kind] if kind < len(_VALUE_SIZES) else 0)
        at += step - inline
        if length > inline:
            outside += length
            at = unpack(order + place, data, at)[0]
        if tag in _TAGS and kind in _INTEGERS:
            if tag in tags:
                raise InputError(f"tag {tag} twice")
            tags[tag] = unpack(f"{order}{min(values, MAX_STRIPS)}{_INTEGERS[kind]}", data, at)
    limit("bytes in tags", outside, len(data))  # more of them share theirs, and each gets a copy
    return tags
