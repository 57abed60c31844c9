"""What several modules of these tests share."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from drawn_files import IMAGE, png, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b.PNG, a.jpg, clip.avi (5 frames), notes.txt, ._a.jpg, and sub/c.png."""
    (tmp_path / "sub").mkdir()
    for name in ("b.PNG", "sub/c.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "a.jpg").write_bytes(cv2.imencode(".jpg", IMAGE)[1].tobytes())
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._a.jpg").write_bytes(b"what macOS leaves on foreign disks")
    write_video(tmp_path / "clip.avi")
    return tmp_path
