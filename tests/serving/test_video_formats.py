"""Containers of videos by their first bytes; images are none."""

from __future__ import annotations

import pytest
from yolean.models import demo_images
from yolean.serving.video_formats import video_format

VIDEOS = {
    b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom": "MP4",
    b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ": "MOV",
    b"\x00\x00\x10\x00moov": "MOV",
    b"\x1a\x45\xdf\xa3\x01\x00\x00\x00": "Matroska",
    b"RIFF\x00\x10\x00\x00AVI LIST": "AVI",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9": "ASF",
    b"\x00\x00\x01\xba\x44": "MPEG",
    b"\x00\x00\x01\xb3\x14": "MPEG",
    (b"G" + bytes(187)) * 3: "TS",
    b"GIF89a\x01\x00": "GIF",
}
OTHERS = [
    b"", b"G", b"G" + bytes(400), b"GIF", b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"\x89PNG\r\n\x1a\n", b"ftyp",
    b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1",
    b"II*\x00", b"BM", b"\xff\xd8\xff\xe0",
]  # fmt: skip


@pytest.mark.parametrize(("data", "name"), VIDEOS.items(), ids=VIDEOS.values())
def test_a_video_is_recognised(data: bytes, name: str) -> None:
    assert video_format(data) == name


def test_images_and_other_data_are_none() -> None:
    for data in [*OTHERS, *(path.read_bytes() for path in demo_images())]:
        assert video_format(data) is None, data[:20]
