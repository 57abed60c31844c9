"""A call in a process of its own: what it returns, raises, prints and leaves behind."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from tables import for_each
from yolean.engine.errors import InputError, ModelError
from yolean.export.weights.isolated_process import call

pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that the other process can import."""
    (tmp_path / "elsewhere.py").write_text(
        """
import os, signal, sys, tempfile
from pathlib import Path
from yolean.engine.errors import InputError

def adds(numbers, on_progress):
    on_progress("adding", 1, 2)
    print("chatter")
    os.system("echo more of it >&2")
    return sum(numbers)

def refuses(text, on_progress): raise InputError(text)
def fails(text, on_progress): raise KeyError(text)
def leaves(text, on_progress):
    print(text, file=sys.stderr)
    os._exit(5)
def dies(name, on_progress): os.kill(os.getpid(), getattr(signal, name))
def litters(argument, on_progress): return tempfile.mkdtemp()
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("elsewhere")
    del sys.modules["elsewhere"]


def test_a_call_in_another_process(elsewhere: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Any] = []
    log = tmp_path / "log.txt"
    assert call(elsewhere.adds, [1, 2, 3], lambda *step: told.append(step), log) == 6
    assert told == [("adding", 1, 2)]
    assert capfd.readouterr() == ("", "")
    assert sorted(log.read_text().splitlines()) == ["chatter", "more of it"]


@for_each(
    "function, argument, error, message",
    [
        ("refuses", "no such thing", InputError, "^no such thing$"),
        ("fails", "inner", ModelError, "KeyError: 'inner'"),
        ("leaves", "first\nlast words\n\n", ModelError, "has ended early: last words"),
        ("leaves", "", ModelError, "has ended early: exit status 5"),
        ("dies", "SIGKILL", ModelError, "killed by SIGKILL, which may mean that memory ran out"),
        ("dies", "SIGSEGV", ModelError, "killed by SIGSEGV$"),
    ],
)
def test_calls_that_fail(
    elsewhere: Any, tmp_path: Path, function: Any, argument: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        call(
            getattr(elsewhere, function),
            argument,
            lambda *step: None,
            tmp_path / f"{function}-{argument[:1]}.txt",
        )


def test_temporary_files_of_the_other_process_go_with_the_log(elsewhere: Any, tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    assert Path(call(elsewhere.litters, None, lambda *step: None, folder / "log.txt")).parent == folder
