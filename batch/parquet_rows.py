"""Images in a column of Parquet files, as bytes or as paths."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..engine.errors import InputError
from .stores import open_binary, read_bytes, read_error, reason

_USUAL = ("image", "bytes", "jpg", "content", "path", "file_name", "url")
"""Columns that are looked for where none is named."""

_ROWS = 64  # read at once: with images of 0.5 MB, 32 MB
_KEPT = 2  # such groups: threads finish in another order than they begin
_NEAR = 1000  # rows that are read and dropped rather than opening the file again further on


def parquet_rows(file: str, column: str | None) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """For each row of a file its address `FILE#ROW`, and a function that reads its image.

    Args:
        file: path or address.
        column: of binary data, of text (paths or addresses), or of structs {bytes, path} as Hugging Face's
            datasets have them.

    Raises:
        InputError: it is no Parquet file, or has no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_binary(file) as opened:
            found = pq.ParquetFile(opened)
            schema, count = found.schema_arrow, found.metadata.num_rows
    except (OSError, pa.ArrowException) as exc:
        raise InputError(f"{file}: expected a Parquet file ({reason(exc)})") from exc
    name = column or next((usual for usual in _USUAL if usual in schema.names), None)
    if name is None or name not in schema.names:
        missing = f"no column {name!r}" if name else "no column with a usual name for images"
        raise InputError(f"{file}: {missing}, but {', '.join(schema.names)}; name one with --column")
    kind = schema.field(name).type
    if not (_is_bytes(kind) or _is_text(kind) or pa.types.is_struct(kind)):
        raise InputError(f"{file}: column {name!r} holds {kind}: expected bytes of images, or their paths")
    for row in range(count):
        yield f"{file}#{row}", partial(read_row, file, name, row)


def read_row(file: str, column: str, row: int) -> bytes:
    """The image in a row.

    Raises:
        OSError: it cannot be read, or the row is empty.
    """
    value = _READERS.value(file, column, row)
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return read_bytes(value)
    if not isinstance(value, bytes):
        raise OSError("the row is empty")
    return value


class _Readers:
    """Values of a column by row. Rows are asked for nearly in order, so that a file is read once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, str] | None = None
        self._file: Any = None
        self._batches: Iterator[Any] = iter(())
        self._kept: deque[tuple[int, list[Any]]] = deque(maxlen=_KEPT)
        self._next = 0  # row at which the next batch begins

    def value(self, file: str, column: str, row: int) -> Any:
        """The value in a row; raises `OSError` or `StoreError` where the file cannot be read."""
        import pyarrow as pa

        with self._lock:
            try:
                if self._key != (file, column):
                    self._open(file, column, row)
                while True:
                    for first, values in self._kept:
                        if first <= row < first + len(values):
                            return values[row - first]
                    if row < self._next or row > self._next + _NEAR:
                        self._open(file, column, row)
                    batch = next(self._batches, None)
                    if batch is None:
                        raise OSError("the file has fewer rows than before")
                    self._kept.append((self._next, batch.column(column).to_pylist()))
                    self._next += len(batch)
            except (pa.ArrowException, OSError) as exc:
                raise read_error(file, exc) from exc

    def _open(self, file: str, column: str, row: int) -> None:
        """Begin at the row group that holds a row."""
        import pyarrow.parquet as pq

        self._key = None
        if self._file is not None:
            self._file.close()
        self._kept.clear()
        self._file = open_binary(file)
        found = pq.ParquetFile(self._file)
        first, group = 0, 0
        while group < found.num_row_groups and first + found.metadata.row_group(group).num_rows <= row:
            first += found.metadata.row_group(group).num_rows
            group += 1
        later = list(range(group, found.num_row_groups))
        self._batches = found.iter_batches(batch_size=_ROWS, row_groups=later, columns=[column])
        self._next, self._key = first, (file, column)


_READERS = _Readers()  # for this process: an entry is only a row's number, and many threads read them


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
