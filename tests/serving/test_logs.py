"""The log: one line for each event, in a form that no request can break."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.serving.logs import log_to_stderr

access, server = logging.getLogger("yolean.access"), logging.getLogger("yolean.server")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The loggers as they were, after the test."""
    loggers = [
        logging.getLogger(name) for name in (None, "yolean", "uvicorn", "python_multipart", "py.warnings")
    ]
    before = [(list(logger.handlers), logger.propagate, logger.level) for logger in loggers]
    yield
    logging.captureWarnings(False)
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


REQUEST = {
    "id": "abc", "client": "::1", "method": "POST", "path": "/v1/predict/m", "status": 200, "ms": 1.5,
    "left": True,
}  # fmt: skip


def test_a_request_is_one_line_of_words(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    access.info("", extra={"request": REQUEST})
    (line,) = capsys.readouterr().err.splitlines()
    stamp, rest = line.split(" ", 1)
    assert datetime.fromisoformat(stamp).utcoffset() == timedelta(0)
    assert rest == "id=abc client=::1 method=POST path=/v1/predict/m status=200 ms=1.5 left=True"


def test_a_request_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("json")
    access.info("", extra={"request": REQUEST})
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).utcoffset() == timedelta(0)
    assert found == {"level": "info", "message": "request", **REQUEST}


def test_other_events_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    server.info("ready: %s", "m")
    server.error("model %s cannot be loaded", "m")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" ready: m")
    assert second.endswith(" error: model m cannot be loaded")
    log_to_stderr("json")
    server.warning("it is %d", 5)
    found = json.loads(capsys.readouterr().err)
    assert (found["level"], found["message"]) == ("warning", "it is 5")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_has_its_traceback(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    log_to_stderr(log_format)
    try:
        raise KeyError("of its own")
    except KeyError:
        server.exception("request %s failed", "abc")
    text = capsys.readouterr().err
    if log_format == "json":
        assert text.count("\n") == 1
        text = json.loads(text)["exception"]
    assert "Traceback" in text
    assert "KeyError: 'of its own'" in text


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_of_uvicorn_warnings_are_logged(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    log_to_stderr(log_format)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    (line,) = capsys.readouterr().err.splitlines()
    assert "Invalid HTTP request received." in line


def test_a_second_call_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    log_to_stderr("json")
    server.info("once")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "once"


@pytest.mark.parametrize(
    ("name", "lines"),
    [("python_multipart.multipart", 0), ("asyncio", 1), ("httpcore", 1), ("py.warnings", 1)],
)
def test_other_libraries_do_not_break_the_format(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, lines: int
) -> None:
    # Python itself prints the warnings of libraries that nobody listens to: bare text between our objects.
    monkeypatch.setattr(logging.root, "handlers", [])
    log_to_stderr("json")
    logging.getLogger(name).warning("Did not find CR at end of boundary (3)")
    found = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [entry["message"] for entry in found] == ["Did not find CR at end of boundary (3)"] * lines


# ---- what clients write -----------------------------------------------------------------------------------


PATHS = {
    "/v1/models": "/v1/models",
    "/a b": "'/a b'",  # a blank would begin another word
    "/a=b": "'/a=b'",
    '/a"b': "'/a\"b'",
    "": "''",
    "/a\nid=forged status=200": r"'/a\nid=forged status=200'",  # a line of one's own
    "/a\r\x1b[31m": r"'/a\r\x1b[31m'",  # the terminal's colours
    "/a\u2028b": r"'/a\u2028b'",
    "/a\u202eb": r"'/a\u202eb'",  # turns round what follows
    "/日本": "/日本",
}


def test_a_path_is_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    for path, word in PATHS.items():
        access.info("", extra={"request": {**REQUEST, "path": path}})
        (line,) = capsys.readouterr().err.split("\n")[:-1]
        assert f" path={word} status=200" in line
    log_to_stderr("json")
    for path in PATHS:
        access.info("", extra={"request": {**REQUEST, "path": path}})
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        assert json.loads(text)["path"] == path


WORD = re.compile(r"""(\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^ "=]+)""")


@settings(deadline=None, max_examples=20)
@given(st.text(max_size=40))
def test_whatever_the_path_a_line_has_the_same_words(path: str) -> None:
    lines = []
    for log_format in ("text", "json"):
        log_to_stderr(log_format)
        (handler,) = logging.getLogger("yolean").handlers
        record = access.makeRecord(
            access.name, logging.INFO, "", 0, "", (), None, extra={"request": {**REQUEST, "path": path}}
        )
        lines.append(handler.format(record))
    text, as_json = lines
    assert text.isprintable()
    assert [name for name, _ in WORD.findall(text.split(" ", 1)[1])] == list(REQUEST)
    assert "\n" not in as_json
    assert json.loads(as_json)["path"] == path
