"""From the sources of a job to its entries: one for each image, in an order that is the same every time."""

from __future__ import annotations

import glob
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..engine.errors import InputError
from ..engine.images.decoding import IMAGE_SUFFIXES
from .parquet_rows import parquet_rows
from .stores import file_system, open_binary, read_bytes, reason, scheme_of

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
CONTAINER_SUFFIXES = (*TAR_SUFFIXES, ".parquet", ".txt")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One image of a job before it is read. It can be pickled.

    Attributes:
        address: path or address of the image; of one in a container: `shard.tar/name.jpg`, `rows.parquet#12`.
        read: gives the encoded bytes, or raises `OSError`; `StoreError` where the whole store is at fault.
    """

    address: str
    read: Callable[[], bytes]


def list_entries(sources: Iterable[str], column: str | None = None) -> Iterator[Entry]:
    """The images of all sources, one after the other; none is read, and never are all held at once.

    Args:
        sources: paths or addresses of images, folders (recursive, sorted by name), glob patterns,
            `.txt` files with one path or address a line, `.tar` shards, `.parquet` files.
        column: of Parquet files: bytes of images, or their paths.

    Raises:
        InputError: a source is missing or cannot be listed, a shard is no tar, a file has no such column.
            What is wrong with a single image is found when it is read.
    """
    for source in sources:
        yield from _entries_of(source, column)


def check_sources(sources: Iterable[str]) -> None:
    """Refuse sources that are missing or of an unknown kind, before anything else is done.

    Raises:
        InputError: names the first of them.
    """
    for source in sources:
        if next(_files_of(source), None) is None:
            expected = f"images ({' '.join(IMAGE_SUFFIXES)}) or {' '.join(CONTAINER_SUFFIXES)}"
            raise InputError(f"{source}: expected {expected}, found none")


def _entries_of(source: str, column: str | None) -> Iterator[Entry]:
    for file in _files_of(source):
        lower = file.lower()
        if lower.endswith(TAR_SUFFIXES):
            yield from _in_tar(file)
        elif lower.endswith(".parquet"):
            for address, read in parquet_rows(file, column):
                yield Entry(address, read)
        elif lower.endswith(".txt"):
            yield from _in_list(file)
        else:
            yield Entry(file, partial(read_bytes, _absolute(file)))


def _files_of(source: str) -> Iterator[str]:
    """The images and containers that a source names; those in a folder are images only."""
    if scheme_of(source) is not None:
        return _remote_files(source)
    if os.path.isdir(source):
        return _walk(source)
    if os.path.isfile(source):
        return iter([_known(source)])
    if any(sign in source for sign in "*?["):
        found = (path for path in sorted(glob.iglob(source, recursive=True)) if os.path.isfile(path))
        return (path for path in found if path.lower().endswith(IMAGE_SUFFIXES + CONTAINER_SUFFIXES))
    raise InputError(
        f"{source}: expected a file, folder, pattern or address, found nothing there; check the path"
    )


def _walk(folder: str) -> Iterator[str]:
    """Images below a folder, sorted in each folder; names with a leading dot are the system's own."""
    try:
        found = sorted((e for e in os.scandir(folder) if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as exc:
        raise InputError(f"{folder}: the folder cannot be read ({exc.strerror})") from exc
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.name.lower().endswith(IMAGE_SUFFIXES):
            yield entry.path


def _remote_files(source: str) -> Iterator[str]:
    scheme = scheme_of(source)
    known: tuple[str, ...] = IMAGE_SUFFIXES + CONTAINER_SUFFIXES
    if scheme in ("http", "https"):
        return iter([source])  # whether it is an image shows when it is read: many addresses have no suffix
    fs, path = file_system(source)
    try:
        if any(sign in path for sign in "*?["):
            found = sorted(fs.glob(path))
        elif path.lower().endswith(known):
            found = [path] if fs.exists(path) else []
        else:
            known, found = IMAGE_SUFFIXES, sorted(fs.find(path))
    except Exception as exc:  # each store has its own errors
        raise InputError(f"{source}: {reason(exc)}") from exc
    if not found:
        raise InputError(
            f"{source}: expected a file, folder or pattern, found nothing there; check the address"
        )
    return (f"{scheme}://{name}" for name in found if name.lower().endswith(known))


def _known(path: str) -> str:
    if not path.lower().endswith(IMAGE_SUFFIXES + CONTAINER_SUFFIXES):
        expected = f"an image ({' '.join(IMAGE_SUFFIXES)}) or {' '.join(CONTAINER_SUFFIXES)}"
        raise InputError(f"{path}: expected {expected}")
    return path


def _absolute(path: str) -> str:
    """For the workers of a cluster, whose working directories are others."""
    return path if scheme_of(path) else os.path.abspath(path)


def _in_list(file: str) -> Iterator[Entry]:
    """A path or address a line; paths are relative to the working directory, empty lines are skipped."""
    try:
        with open_binary(file) as lines:
            for line in lines:
                address = line.decode("utf-8").strip()
                if address:
                    yield Entry(address, partial(_read_listed, _absolute(address)))
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(
            f"{file}: expected UTF-8 text with one path or address a line ({reason(exc)})"
        ) from exc


def _read_listed(address: str) -> bytes:
    try:
        return read_bytes(address)
    except IsADirectoryError as exc:
        raise OSError("it is a folder: in a list, each line names one image") from exc


def _in_tar(file: str) -> Iterator[Entry]:
    """The images of a shard, in its order. Members of a plain tar are read where they lie, one by one."""
    packed = not file.lower().endswith(".tar")
    try:
        mode: Literal["r|gz", "r:"] = "r|gz" if packed else "r:"
        with open_binary(file) as opened, tarfile.open(fileobj=opened, mode=mode) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would collect a million of them
                if not member.isfile() or not member.name.lower().endswith(IMAGE_SUFFIXES):
                    continue
                address = f"{file}/{member.name}"
                if not packed:
                    yield Entry(
                        address, partial(read_bytes, _absolute(file), member.offset_data, member.size)
                    )
                elif (content := tar.extractfile(member)) is not None:
                    yield Entry(address, partial(bytes, content.read()))
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise InputError(f"{file}: expected a tar archive ({reason(exc)})") from exc
