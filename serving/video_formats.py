"""Which video container bytes are, by their first bytes."""

from __future__ import annotations

from ..engine.images.containers import brands, is_avif

FORMATS = "ASF, AVI, GIF, MKV, MOV, MP4, MPEG, TS, WebM or WMV"
"""Of videos that are recognised, for messages."""

_MAGICS = {
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "ASF",  # WMV is one
    b"\x1a\x45\xdf\xa3": "Matroska",  # WebM is one
    b"\x00\x00\x01\xba": "MPEG",  # a program stream
    b"\x00\x00\x01\xb3": "MPEG",  # a bare video stream
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_OLD_QUICKTIME = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_TS_PACKET = 188
_TS_SYNC = 0x47


def video_format(data: bytes) -> str | None:
    """The container that data is in, such as "MP4", or None where it is no video."""
    for magic, name in _MAGICS.items():
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "AVI"
    if data[4:8] in _OLD_QUICKTIME:
        return "MOV"
    found = brands(data)
    if found and not is_avif(data) and found.isdisjoint(_HEIF):
        return "MOV" if b"qt  " in found else "MP4"
    packets = data[: 3 * _TS_PACKET : _TS_PACKET]
    return "TS" if len(packets) == 3 and set(packets) == {_TS_SYNC} else None
