"""Files here and in stores: whole or not there, one job a folder, errors in one line."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from yolean.batch.stores import OutputFolder, file_system, read_bytes, reason
from yolean.engine.errors import InputError


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder: OutputFolder = pickle.loads(pickle.dumps(OutputFolder(str(tmp_path / "out"))))
    folder.prepare()
    folder.write("parts/a", b"one")
    folder.write("parts/a", b"two")
    assert folder.read("parts/a") == b"two"
    assert folder.read("parts/b") is None
    assert folder.names("parts") == ["a"]
    assert folder.names("nothing") == []


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=r"cannot write .*out/_job/.writable: "):
        OutputFolder(str(tmp_path / "out")).prepare()
    folder = OutputFolder(str(tmp_path))
    with pytest.raises(InputError, match="cannot write"):
        folder.write("name", "no bytes")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_one_job_a_folder(tmp_path: Path) -> None:
    folder = OutputFolder(str(tmp_path))
    folder.prepare()
    with (
        folder.locked(),
        pytest.raises(InputError, match="another job writes into this folder"),
        OutputFolder(str(tmp_path)).locked(),
    ):
        pass
    with folder.locked():
        pass


def test_a_part_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_bytes(str(tmp_path / "file"), 3, 4) == b"3456"


def test_stores_whose_package_is_missing_name_it() -> None:
    for address, package in (("gs://bucket/a.jpg", "gcsfs"), ("az://container/a.jpg", "adlfs")):
        with pytest.raises(InputError, match=f"pip install {package}"):
            file_system(address)
    with pytest.raises(InputError, match="found sftp://"):
        file_system("sftp://host/a.jpg")


class NoCredentialsError(Exception):
    """As botocore calls it."""


class TooManyRedirects(Exception):
    """As aiohttp calls it."""


class EndpointConnectionError(Exception):
    """As botocore calls it."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError("bucket/key"), "it does not exist"),
        (PermissionError("The provided token has expired."), "no permission .*expired.*keys"),
        (NoCredentialsError("Unable to locate credentials"), "no keys for this store"),
        (TooManyRedirects(), "redirects to another address, which is not followed"),
        (EndpointConnectionError("Could not connect to http://a"), "cannot be reached"),
        (OSError(28, "No space left on device"), "^No space left on device$"),
        (ValueError("two\nlines"), "^two lines$"),
        (RuntimeError(), "^RuntimeError$"),
    ],
)
def test_every_error_is_one_line(error: Exception, said: str) -> None:
    assert re.search(said, reason(error))
