"""Which interpreter has what a system needs."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from yolean.benchmarks import interpreters
from yolean.benchmarks.interpreters import Interpreter, find


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Interpreters that have what this dictionary says."""
    has: dict[str, dict[str, str]] = {sys.executable: {"numpy": "2.0", "uvicorn": "0.54"}}
    monkeypatch.setattr(interpreters, "installed_in", lambda python: has.get(python, "it cannot be run"))
    return has


def test_our_own_is_asked_and_tells_the_truth() -> None:
    found = find(["numpy", "opencv_python.headless"], [])
    assert isinstance(found, Interpreter)
    assert found.python == sys.executable
    versions = [metadata.version("numpy"), metadata.version("opencv-python-headless")]
    assert list(found.versions.values()) == versions


def test_each_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    find(["numpy"], [])
    monkeypatch.setattr("subprocess.run", None)  # a second question would fail
    assert isinstance(find(["numpy", "click"], []), Interpreter)


def test_the_first_that_has_all_is_taken(environments: dict[str, dict[str, str]]) -> None:
    environments["one"] = {"litserve": "1"}
    environments["two"] = environments["three"] = {"litserve": "0.2", "ultralytics": "8.4"}
    found = find(["ultralytics", "litserve"], ["one", "two", "three"])
    assert found == Interpreter("two", {"ultralytics": "8.4", "litserve": "0.2"})
    assert find(["litserve"], ["one", "two"]) == Interpreter("one", {"litserve": "1"})
    assert find(["numpy"], ["one"]) == Interpreter(sys.executable, {"numpy": "2.0"})


def test_what_is_missing_is_said_of_the_one_that_lacks_least(environments: dict[str, dict[str, str]]) -> None:
    environments["other"] = {"ultralytics": "8.4"}
    why = find(["ultralytics", "litserve"], ["other"])
    assert why == (
        "litserve is not installed: pip install litserve, here or in an environment named with --python"
    )
    assert "a and b are not installed: pip install a b" in str(find(["a", "b"], []))


def test_nothing_is_split_over_two(environments: dict[str, dict[str, str]]) -> None:
    environments["other"] = {"ultralytics": "8.4"}
    assert isinstance(find(["numpy", "ultralytics"], ["other"]), str)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be run: No such file"),
        ("#!/bin/sh\necho broken >&2; exit 1\n", "did not report what it has: broken"),
        ("#!/bin/sh\necho hello\n", "it is no Python interpreter"),
    ],
)
def test_an_interpreter_that_is_none(tmp_path: Path, content: str | None, words: str) -> None:
    python = tmp_path / "python"
    if content:
        python.write_text(content)
        python.chmod(0o755)
    why = str(find(["no-such-distribution"], [str(python)]))
    assert words in why
    assert "\n" not in why
