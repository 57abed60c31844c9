"""The log of `yolean serve` on standard error: one line for each event, as text or as JSON."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec


def log_to_stderr(log_format: str) -> None:
    """Write the records of yolean and the warnings of uvicorn to standard error.

    Args:
        log_format: `text` or `json`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    for name, level in (("yolean", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    # It warns of every malformed form, although the client gets an error: clients could fill the disk.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    if not logging.root.handlers:  # other libraries' records, which would else be bare text between our lines
        logging.root.addHandler(handler)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower()}
        request = getattr(record, "request", None)
        if request is None:
            entry["message"] = record.getMessage()
        else:
            entry |= {"message": "request", **request}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        request = getattr(record, "request", None)
        if request is None:
            text = record.getMessage()
            if record.levelno > logging.INFO:
                text = f"{record.levelname.lower()}: {text}"
        else:
            text = " ".join(f"{name}={_word(value)}" for name, value in request.items())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{_time(record)} {text}"


def _word(value: Any) -> str:
    """A value in a text line: quoted where it could be mistaken for more than one."""
    text = str(value)
    return text if text and text.isprintable() and not set(text) & set(' "=') else repr(text)
