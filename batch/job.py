"""A job's folder: its settings, the parts in it, and what resuming needs to know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..engine.errors import InputError
from .encoders import ENCODERS
from .parts import FinishedPart, Part
from .rows import Provenance, Row
from .stores import OutputFolder

_VERSION = 1  # of the records in `_job/`
_SETTINGS = "_job/settings.json"
_PARTS = "_job/parts"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What decides the rows of a job: a resumed one must have the same.

    Attributes:
        provenance: model and thresholds.
        sources: as given.
        column: of Parquet files.
        format: of the output, a key of `ENCODERS`.
    """

    provenance: Provenance
    sources: tuple[str, ...]
    column: str | None
    format: str

    def as_record(self) -> dict[str, Any]:
        """Plain values by the words that a refusal uses; the version of yolean may change in between."""
        given = self.provenance
        return {
            "model": given.model,
            "task": given.task,
            **given.options,
            "sources": list(self.sources),
            "column": self.column,
            "format": self.format,
        }


class Job:
    """Writes the parts of a job. It can be pickled, and used by several processes at once.

    Attributes:
        settings: see `JobSettings`.
        folder: of the output.
    """

    def __init__(self, settings: JobSettings, folder: OutputFolder) -> None:
        self.settings, self.folder = settings, folder

    def begin(self, resume: bool) -> dict[int, FinishedPart]:
        """Record the settings, or compare them with those of the job that is resumed.

        Args:
            resume: continue what is in the folder, if anything is.

        Returns:
            the finished parts by start.

        Raises:
            InputError: the folder cannot be written, holds a job that is not to be resumed, or one with other
                settings.
        """
        own = self.settings.as_record()
        before = self.folder.read(_SETTINGS)
        if before is None:
            record = {"version": _VERSION, "yolean": self.settings.provenance.yolean, **own}
            self.folder.write(_SETTINGS, json.dumps(record, indent=2, default=list).encode())
            return {}
        if not resume:
            raise InputError(
                f"{self.folder.address}: a job is there; --resume continues it, or name another folder"
            )
        self._compare(before, json.loads(json.dumps(own, default=list)))
        return self._finished()

    def commit(self, part: Part, rows: Sequence[Row]) -> FinishedPart:
        """Write the rows of a part, then the record that it is finished: without that it is done again.

        Raises:
            InputError: the folder cannot be written.
        """
        provenance = self.settings.provenance
        whole = [row | provenance.columns() for row in rows]
        for name, data in ENCODERS[self.settings.format](part.start, whole, provenance).items():
            self.folder.write(name, data)
        failed = sum(row["error"] is not None for row in rows)
        finished = FinishedPart(part.start, len(rows), failed, part.digest)
        self.folder.write(f"{_PARTS}/{part.start:012d}.json", json.dumps(asdict(finished)).encode())
        return finished

    def _compare(self, before: bytes, own: Mapping[str, Any]) -> None:
        try:
            record = json.loads(before)
            version = record["version"]
        except (ValueError, TypeError, KeyError) as exc:
            raise InputError(f"{self.folder.address}/{_SETTINGS}: these are no settings of a job") from exc
        if version != _VERSION:
            raise InputError(
                f"{self.folder.address}: the job is of another version of yolean ({record['yolean']})"
            )
        for name, value in own.items():
            if record.get(name) != value:
                was, now = (str(found)[:100] for found in (record.get(name), value))
                raise InputError(
                    f"--resume: this job was begun with {name} {was}, not {now}; "
                    "name the same, or another folder"
                )

    def _finished(self) -> dict[int, FinishedPart]:
        found = {}
        for name in self.folder.names(_PARTS):
            data = self.folder.read(f"{_PARTS}/{name}")
            try:
                part = FinishedPart(**json.loads(data or b""))
            except (ValueError, TypeError) as exc:
                raise InputError(
                    f"{self.folder.address}/{_PARTS}/{name}: this is no record of a part"
                ) from exc
            found[part.start] = part
        return found
