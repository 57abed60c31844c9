"""Reading and writing recorded results, JSON files with one type a scenario.

A file of another schema or with an unknown field is refused, so that pages and plots show what was recorded.
Names of fields are the names in the files.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from ..export.files import write_whole
from .load_records import MicroRecord, ServeRecord, ThreadsRecord
from .model_records import ParityRecord, PeersRecord
from .scale_records import ScaleRecord

AnyRecord = PeersRecord | ServeRecord | ParityRecord | MicroRecord | ThreadsRecord | ScaleRecord
R = TypeVar("R", bound=AnyRecord)


def read(path: Path) -> AnyRecord:
    """A recorded result.

    Raises:
        click.ClickException: the file cannot be read, or is no record of this schema.
    """
    try:
        record: AnyRecord = msgspec.json.decode(path.read_bytes(), type=AnyRecord)
    except (OSError, msgspec.MsgspecError) as exc:
        raise click.ClickException(f"{path}: {exc}") from exc
    return record


def write(record: AnyRecord, file: Path | None) -> None:
    """Write a record as indented JSON; without a file, nothing.

    Raises:
        InputError: the file cannot be written; what it was before stays.
    """
    if file is not None:
        write_whole(file, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


class RecordedResults:
    """The recorded results in a folder, each read when it is needed.

    Raises:
        click.ClickException: from an attribute, where its file is missing or is no such record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def peers(self) -> PeersRecord:
        return self._read("peers", PeersRecord)

    @cached_property
    def serve(self) -> ServeRecord:
        return self._read("serve", ServeRecord)

    @cached_property
    def parity(self) -> ParityRecord:
        return self._read("parity", ParityRecord)

    @cached_property
    def micro(self) -> MicroRecord:
        return self._read("micro", MicroRecord)

    @cached_property
    def threads(self) -> ThreadsRecord:
        return self._read("threads", ThreadsRecord)

    @cached_property
    def scale(self) -> ScaleRecord:
        return self._read("scale", ScaleRecord)

    def _read(self, name: str, kind: type[R]) -> R:
        record = read(self.folder / f"{name}.json")
        if not isinstance(record, kind):
            raise click.ClickException(f"{self.folder / name}.json: expected a record of {name}")
        return record
