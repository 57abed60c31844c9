"""Reads and writes files here and, by fsspec, in object stores, with one line for each error."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..engine.errors import InputError, YoleanError

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "adl"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
}
"""The package that fsspec needs for a scheme: none of them is in the extra `batch`."""

_OPTIONS: dict[str, dict[str, Any]] = {
    # An address in a list may redirect into a network that its author cannot reach.
    **{scheme: {"max_redirects": 1} for scheme in ("http", "https")},
    # Many images are read at once; one in pieces would need a request for its size before.
    **{scheme: {"max_concurrency": 1} for scheme in ("s3", "s3a")},
}


_KEY_CODES = (
    *("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"),
    *("AccountProblem", "AllAccessDisabled", "RequestTimeTooSkewed", "TokenRefreshRequired"),
)
"""What S3 answers to keys that it refuses, whatever the object."""

_OF_STORES = ("Connect", "Credentials", "Authentication", "RefreshError")
"""In the names of errors of botocore, gcsfs and adlfs that concern a store as a whole."""


class StoreError(YoleanError):
    """A store refuses the keys, or cannot be reached: this is no error of the image that was asked for."""


def scheme_of(address: str) -> str | None:
    """`s3` of `s3://bucket/key`; None for a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    return found[1].lower() if found else None


def file_system(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it.

    Raises:
        InputError: the scheme is unknown, or its package is missing.
    """
    scheme = scheme_of(address) or "file"
    if scheme not in _PACKAGES and scheme != "file":
        raise InputError(f"{address}: expected a path or one of {', '.join(_PACKAGES)}://, found {scheme}://")
    import fsspec.core

    try:
        if scheme in _PACKAGES:
            importlib.import_module(_PACKAGES[scheme])
        found: tuple[Any, str] = fsspec.core.url_to_fs(address, **_OPTIONS.get(scheme, {}))
    except ImportError as exc:
        package = _PACKAGES[scheme]
        raise InputError(f"{address}: {scheme}:// needs a package: pip install {package}") from exc
    except Exception as exc:  # each store has its own errors
        raise InputError(f"{address}: {reason(exc)}") from exc
    return found


def reason(exc: BaseException) -> str:
    """Why something could not be read or written, in one line."""
    said = " ".join(str(getattr(exc, "strerror", None) or exc).split())[:200]
    kind = type(exc).__name__
    if isinstance(exc, FileNotFoundError):
        return "it does not exist"
    if isinstance(exc, PermissionError) and exc.errno is None:  # of a store
        return f"no permission ({said}); check the keys in the environment"
    if "Credentials" in kind:
        return f"no keys for this store in the environment ({said})"
    if kind == "TooManyRedirects":
        return "it redirects to another address, which is not followed; name that address"
    if said == "Bad Request":  # to a request whose answer has no body
        return "the store refuses the request; check the keys in the environment, which may have expired"
    if "Connect" in kind or "Timeout" in kind:
        return f"it cannot be reached ({said or kind})"
    return said or kind


def read_error(address: str, exc: Exception) -> StoreError | OSError:
    """What to raise where a file cannot be read, from the error of a package.

    Of `https://` each address is a host of its own, whose failure says nothing about the others.
    """
    cause = getattr(exc.__cause__ or exc, "response", None)  # botocore's; others have other things there
    code = cause.get("Error", {}).get("Code") if isinstance(cause, dict) else None
    is_of_store = code in _KEY_CODES or any(word in type(exc).__name__ for word in _OF_STORES)
    if is_of_store and _PACKAGES.get(scheme_of(address) or "", "aiohttp") != "aiohttp":
        return StoreError(f"{address}: {reason(exc)}")
    return OSError(reason(exc))


def open_binary(address: str) -> BinaryIO:
    """Open a file for reading; it can seek.

    Raises:
        OSError: it cannot be opened; the text is one line.
        StoreError: its store cannot be used.
    """
    if scheme_of(address) is None:
        return open(address, "rb")
    try:
        fs, path = file_system(address)
        opened: BinaryIO = fs.open(path, "rb")
    except Exception as exc:
        raise read_error(address, exc) from exc
    return opened


def read_bytes(address: str, offset: int = 0, size: int | None = None) -> bytes:
    """A file, or `size` bytes of it from `offset`.

    Raises:
        OSError: it cannot be read; the text is one line.
        StoreError: its store cannot be used.
    """
    if scheme_of(address) is None:
        with open(address, "rb") as file:
            file.seek(offset)
            return file.read(-1 if size is None else size)
    try:
        fs, path = file_system(address)
        end = None if size is None else offset + size
        data: bytes = fs.cat_file(path, start=offset or None, end=end)
    except Exception as exc:
        raise read_error(address, exc) from exc
    return data


class OutputFolder:
    """A folder here or in a store, in which a file is either whole or not there.

    Attributes:
        address: as given.
    """

    def __init__(self, address: str) -> None:
        """Name a folder; it is not touched before `prepare`.

        Raises:
            InputError: the scheme is unknown, or its package is missing.
        """
        self.address = address.rstrip("/") or address
        self._fs: Any = None
        if scheme_of(address) is None:
            self.address = os.path.abspath(address)  # the workers of a cluster have other working directories
        else:
            self._fs, self._root = file_system(self.address)

    def __reduce__(self) -> tuple[type[OutputFolder], tuple[str]]:
        return OutputFolder, (self.address,)

    def prepare(self) -> None:
        """Create the folder, and check that it can be written.

        Raises:
            InputError: it cannot.
        """
        self.write("_job/.writable", b"")
        if self._fs is None:
            (Path(self.address) / "_job/.writable").unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other jobs of this machine out; a store has no such lock.

        Raises:
            InputError: another job has it.
        """
        if self._fs is not None:
            yield
            return
        from filelock import FileLock, Timeout

        lock = FileLock(Path(self.address) / "_job/lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as exc:
            raise InputError(
                f"{self.address}: another job writes into this folder; name another one"
            ) from exc
        try:
            yield
        finally:
            lock.release()

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which replaces one of that name.

        Raises:
            InputError: it cannot be written; nothing of it is left.
        """
        try:
            if self._fs is None:
                _write_whole(Path(self.address, name), data)
            else:
                self._fs.pipe_file(f"{self._root}/{name}", data)
        except Exception as exc:
            raise InputError(f"cannot write {self.address}/{name}: {reason(exc)}") from exc

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return read_bytes(f"{self.address}/{name}")
        except FileNotFoundError:
            return None
        except OSError as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                return None
            raise InputError(f"{self.address}/{name}: {reason(exc)}") from exc

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder below this one, sorted; none where it is missing."""
        listing: Callable[[], list[str]]
        if self._fs is None:
            listing = lambda: os.listdir(Path(self.address, folder))  # noqa: E731
        else:
            self._fs.invalidate_cache()
            listing = lambda: self._fs.ls(f"{self._root}/{folder}", detail=False)  # noqa: E731
        try:
            return sorted(name.rsplit("/", 1)[-1] for name in listing())
        except FileNotFoundError:
            return []
        except Exception as exc:
            raise InputError(f"{self.address}/{folder}: {reason(exc)}") from exc


def _write_whole(target: Path, data: bytes) -> None:
    """Write aside, flush to the disk, rename: power may go at any moment."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
