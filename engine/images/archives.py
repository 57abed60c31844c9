"""Images in ZIP and tar archives, read one by one without unpacking the archive."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock

from ..errors import InputError
from .frames import SourceItem

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_MAX_MEMBER = 1 << 29
"""Bytes of a member: no image is as large, and what packs well would fill the memory."""

# What the two modules raise for damaged, encrypted and unknown contents.
_UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error),
    *(OSError, EOFError, RuntimeError, NotImplementedError, ValueError, KeyError),
)


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A file in an archive, read like an open binary file, but from its beginning each time.

    Attributes:
        name: the archive's path and the file's path in it.
        size: in bytes, unpacked.
        content: reads it; several threads may.
    """

    name: str
    size: int
    content: Callable[[], bytes]

    def read(self) -> bytes:
        """The whole file.

        Raises:
            OSError: it is too large, damaged or encrypted.
        """
        if self.size > _MAX_MEMBER:
            raise OSError(f"unpacked it has {self.size} bytes, more than {_MAX_MEMBER}")
        try:
            return self.content()
        except _UNREADABLE as exc:
            raise OSError(str(exc)) from exc


def archive_items(
    path: str, image_suffixes: tuple[str, ...], video_suffixes: tuple[str, ...]
) -> list[SourceItem]:
    """The images in an archive: of a ZIP file by name, of a tar file in its order, which is the fast one.

    A video becomes an error in its place, since only files and streams can be played.

    Raises:
        InputError: the archive cannot be read, or holds no image.
    """
    try:
        members = _zip_members(path) if path.lower().endswith(".zip") else _tar_members(path)
    except _UNREADABLE as exc:
        raise InputError(f"{path}: expected a ZIP or tar archive, which this is not ({exc})") from exc
    items = []
    for member in members:
        if member.name.rpartition("/")[2].startswith("."):  # the system's own, as in folders
            continue
        if member.name.lower().endswith(image_suffixes):
            items.append(SourceItem("data", member, member.name))
        elif member.name.lower().endswith(video_suffixes):
            refusal = InputError(f"{member.name}: a video in an archive cannot be played; unpack it first")
            items.append(SourceItem("error", refusal, member.name))
    if not items:
        raise InputError(f"{path}: expected an archive with images, found {len(members)} other files")
    return items


def _zip_members(path: str) -> list[Member]:
    archive = zipfile.ZipFile(path)  # closes itself with the last of its members
    files = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
    return [Member(f"{path}/{info.filename}", info.file_size, partial(archive.read, info)) for info in files]


class _Tar:
    """An open tar file that is closed with the last of its members."""

    def __init__(self, path: str) -> None:
        self.archive, self._lock = tarfile.open(path), Lock()  # noqa: SIM115

    def __del__(self) -> None:
        if hasattr(self, "archive"):
            self.archive.close()

    def content(self, info: tarfile.TarInfo) -> bytes:
        with self._lock:  # members share the position in the file
            file = self.archive.extractfile(info)
            assert file is not None  # regular files alone
            return file.read()


def _tar_members(path: str) -> list[Member]:
    tar = _Tar(path)
    files = [info for info in tar.archive.getmembers() if info.isreg()]
    return [Member(f"{path}/{info.name}", info.size, partial(tar.content, info)) for info in files]
