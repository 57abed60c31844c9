"""API keys: which are accepted, where they are read from, and that they stay secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.engine.errors import InputError
from yolean.serving.auth import VARIABLE, Keys, is_loopback, read_keys

KEY = "sk-0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


ACCEPTED = {KEY: True, "another": True}
REFUSED = {
    None: "no header",
    "": "an empty one",
    "wrong": "no key",
    KEY[:-1]: "the beginning of one",
    KEY + "x": "one and more",
    KEY + " ": "blanks count",
    KEY.upper(): "so does the case",
    "schl\xfcssel": "what a header may hold beyond ASCII",
    "\udcff": "no text",
    "x" * 100_000: "very long",
    f"{KEY}\nanother": "both at once",
}


def test_only_the_keys_are_accepted() -> None:
    keys, none = Keys([KEY, "another"]), Keys([])
    assert (bool(keys), bool(none)) == (True, False)
    assert {given: keys.accept(given) for given in (*ACCEPTED, *REFUSED)} == ACCEPTED | dict.fromkeys(
        REFUSED, False
    )
    assert not any(none.accept(given) for given in (*ACCEPTED, *REFUSED))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.text("abcdef", min_size=1), max_size=4), st.text("abcdef", max_size=4))
def test_a_key_is_accepted_if_it_is_one_of_them(keys: list[str], given: str) -> None:
    assert Keys(keys).accept(given) is (given in keys)


def test_a_key_is_not_kept() -> None:
    keys = Keys([KEY])
    assert KEY not in repr(keys) + str(keys)
    assert KEY.encode() not in pickle.dumps(keys)


# ---- where they come from ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        f"{KEY}\nanother\n".encode(),
        f"{KEY}\r\nanother\r\n".encode(),  # Windows
        f"{KEY}\nanother".encode(),  # no line break at the end
        f"# ours\n\n  {KEY}  \n\n#old\n\tanother\n".encode(),  # comments, empty lines, blanks around
        f"# für uns\n{KEY}\nanother".encode(),  # a comment beyond ASCII
        f"{KEY}\nanother\n{KEY}\n".encode(),  # twice the same
        b"\xef\xbb\xbf" + f"{KEY}\nanother\n".encode(),  # Notepad's byte order mark
        b"\xef\xbb\xbf" + f"# ours\n{KEY}\nanother\n".encode(),
    ],
)
def test_keys_are_read_from_a_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    keys = read_keys(file)
    assert keys.accept(KEY)
    assert keys.accept("another")
    assert not any(keys.accept(given) for given in ("", "# ours", "#old", "ours"))
    assert repr(keys) == "<2 keys>"


def test_keys_are_read_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not read_keys(None)
    monkeypatch.setenv(VARIABLE, f"{KEY}\n# a comment\nsecond")
    assert [read_keys(None).accept(given) for given in (KEY, "second", "# a comment")] == [True, True, False]
    file = tmp_path / "keys"
    file.write_text("third")
    keys = read_keys(file)
    assert all(keys.accept(given) for given in (KEY, "second", "third"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no key"),
        (b"# nothing\n\n", "holds no key"),
        (
            b"first\nhunter2 hunter2\n",
            "key 2 of the file of --api-keys: expected printable ASCII without blanks",
        ),
        ("first\nhünter2\n".encode(), "key 2 of the file of --api-keys: expected printable ASCII"),
        (b"hunter2\x00", "expected printable ASCII"),
        (b"hunter2\thunter2", "expected printable ASCII"),
        (b"\xff\xfeh\0u\0n\0t\0e\0r\0", "cannot be read .it is not text"),  # UTF-16
    ],
)
def test_a_file_without_usable_keys_is_refused_and_not_quoted(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason) as refusal:
        read_keys(file)
    assert "nter" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_bad_key_in_the_environment_is_refused_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "two words")
    with pytest.raises(InputError, match=f"key 1 of {VARIABLE}") as refusal:
        read_keys(None)
    assert "words" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--api-keys: the file cannot be read"):
        read_keys(tmp_path)


# ---- addresses of this machine alone ----------------------------------------------------------------------


def test_loopback() -> None:
    near = ["127.0.0.1", "127.8.9.10", "::1", "localhost", "localhost.", "::1%lo"]
    far = [
        "0.0.0.0",  # every address of the machine
        "::",
        "",  # what asyncio takes for every address
        "192.168.1.1",
        "fe80::1%eth0",
        "example.org",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "1",
    ]
    assert [host for host in (*near, *far) if is_loopback(host)] == near
