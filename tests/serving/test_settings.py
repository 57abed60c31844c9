"""Settings: every option by flag and by variable, the same settings out of both, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.engine.errors import InputError
from yolean.engine.tiling import MAX_SLICES
from yolean.serving.settings import MOST_TILES, PREFIX, ModelSource, Settings, serve_options


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has models and a file of keys, and the environment nothing."""
    for name in [name for name in os.environ if name.startswith("YOLEAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name in ("a.onnx", "b.onnx", "keys.txt"):
        Path(name).write_text("x")
    Path("models").mkdir()


def by_flags(*words: str) -> Settings:
    """The settings that a command line gives; raises what click raises."""
    command = click.Command("serve")
    serve_options(command)
    with command.make_context("serve", list(words)) as context:
        return Settings(**context.params)


def by_variables(variables: Mapping[str, str]) -> Settings:
    """The settings that variables give."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return Settings.from_environment()


OPTIONS: list[tuple[list[str], dict[str, str], str, object]] = [
    # words, variables, field, value
    (["--models", "a.onnx"], {"MODELS": "a.onnx"}, "models", (ModelSource(Path("a.onnx")),)),
    (["--models", "models"], {"MODELS": "models"}, "models", (ModelSource(Path("models")),)),
    (["--models", "x=a.onnx"], {"MODELS": "x=a.onnx"}, "models", (ModelSource(Path("a.onnx"), "x"),)),
    (
        ["--models", "x=a.onnx", "--models", "b.onnx"],
        {"MODELS": f"x=a.onnx{os.pathsep}b.onnx"},
        "models",
        (ModelSource(Path("a.onnx"), "x"), ModelSource(Path("b.onnx"))),
    ),
    (
        ["--models", "acme/doors/best=a.onnx"],
        {"MODELS": "acme/doors/best=a.onnx"},
        "models",
        (ModelSource(Path("a.onnx"), "acme/doors/best"),),
    ),
    (["--default-model", "a/b"], {"DEFAULT_MODEL": "a/b"}, "default_model", "a/b"),
    (["--host", "::1"], {"HOST": "::1"}, "host", "::1"),
    (["--port", "0"], {"PORT": "0"}, "port", 0),
    (["--port", "65535"], {"PORT": "65535"}, "port", 65535),
    (["--device", "cuda:1"], {"DEVICE": "cuda:1"}, "device", "cuda:1"),
    (["--max-queue", "1"], {"MAX_QUEUE": "1"}, "max_queue", 1),
    (["--timeout", "0.05"], {"TIMEOUT": "0.05"}, "timeout", 0.05),
    (["--max-body", "1.5G"], {"MAX_BODY": "1.5G"}, "max_body", 3 * 2**29),
    (["--max-pixels", "8M"], {"MAX_PIXELS": "8M"}, "max_pixels", 8_000_000),
    (["--max-videos", "2"], {"MAX_VIDEOS": "2"}, "max_videos", 2),
    (["--max-video-frames", "90"], {"MAX_VIDEO_FRAMES": "90"}, "max_video_frames", 90),
    (["--max-video-seconds", "9"], {"MAX_VIDEO_SECONDS": "9"}, "max_video_seconds", 9.0),
    (["--max-tiles", "40"], {"MAX_TILES": "40"}, "max_tiles", 40),
    (["--url-fetch"], {"URL_FETCH": "1"}, "url_fetch", True),
    (["--url-fetch"], {"URL_FETCH": "true"}, "url_fetch", True),
    (["--no-url-fetch"], {"URL_FETCH": "0"}, "url_fetch", False),
    (
        ["--trusted-fetch", "10.1.0.0/16", "--trusted-fetch", "fd00::/8"],
        {"TRUSTED_FETCH": "10.1.0.0/16 fd00::/8"},
        "trusted_fetch",
        (ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
    ),
    (["--trusted-fetch", "::1"], {"TRUSTED_FETCH": "::1"}, "trusted_fetch", (ip_network("::1/128"),)),
    (["--api-keys", "keys.txt"], {"API_KEYS": "keys.txt"}, "api_keys", Path("keys.txt")),
    (["--no-auth"], {"NO_AUTH": "1"}, "no_auth", True),
    ([], {"NO_AUTH": "false"}, "no_auth", False),
    (
        ["--cors", "https://a.example", "--cors", "http://localhost:3000"],
        {"CORS": "https://a.example http://localhost:3000"},
        "cors",
        ("https://a.example", "http://localhost:3000"),
    ),
    (["--cors", "*"], {"CORS": "*"}, "cors", ("*",)),
    (["--workers", "4"], {"WORKERS": "4"}, "workers", 4),
    (["--head-timeout", "2.5"], {"HEAD_TIMEOUT": "2.5"}, "head_timeout", 2.5),
    (["--max-head", "8K"], {"MAX_HEAD": "8K"}, "max_head", 8192),
    (["--min-rate", "100"], {"MIN_RATE": "100"}, "min_rate", 100),
    (["--rate-window", "1"], {"RATE_WINDOW": "1"}, "rate_window", 1.0),
    (["--keep-alive", "75"], {"KEEP_ALIVE": "75"}, "keep_alive", 75.0),
    (["--max-uploads", "1G"], {"MAX_UPLOADS": "1G"}, "max_uploads", 2**30),
    (["--max-client-uploads", "64M"], {"MAX_CLIENT_UPLOADS": "64M"}, "max_client_uploads", 2**26),
    (
        ["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"],
        {"TRUSTED_PROXY": "10.0.0.0/8 ::1"},
        "trusted_proxy",
        (ip_network("10.0.0.0/8"), ip_network("::1/128")),
    ),
    (["--batch-window", "2.5"], {"BATCH_WINDOW": "2.5"}, "batch_window", 2.5),
    (["--drain", "5"], {"DRAIN": "5"}, "drain", 5.0),
    (["--log-format", "json"], {"LOG_FORMAT": "json"}, "log_format", "json"),
]  # fmt: skip


def test_an_option_is_the_same_by_flag_and_by_variable() -> None:
    for words, variables, field, value in OPTIONS:
        by_flag = by_flags(*words)
        by_variable = by_variables({f"{PREFIX}_{name}": text for name, text in variables.items()})
        assert getattr(by_flag, field) == value, words
        assert by_variable == by_flag, words
        assert type(getattr(by_variable, field)) is type(value), words


def test_every_setting_has_an_option() -> None:
    assert {field for _, _, field, _ in OPTIONS} == {field.name for field in fields(Settings)}


def test_a_server_may_allow_as_many_slices_as_the_engine() -> None:
    assert MOST_TILES == MAX_SLICES


def test_by_default() -> None:
    assert by_flags() == Settings.from_environment() == Settings()
    for name in ("MODELS", "CORS", "TRUSTED_FETCH", "API_KEYS", "PORT", "MAX_BODY", "HOST"):
        assert by_variables({f"YOLEAN_{name}": ""}) == Settings(), name


# ---- there and back ---------------------------------------------------------------------------------------


def test_the_environment_carries_every_setting(tmp_path: Path) -> None:
    folder = tmp_path / "my models = best"
    folder.mkdir()
    for name in ("a.onnx", "b=c.onnx", "ü.onnx"):
        (folder / name).write_text("x")
    keys = tmp_path / "the keys.txt"
    keys.write_text("k")
    settings = Settings(
        models=(
            ModelSource(folder / "a.onnx", "first"),
            ModelSource(folder / "b=c.onnx"),
            ModelSource(folder / "b=c.onnx", "with.dots-and_lines"),
            ModelSource(folder / "ü.onnx"),
            ModelSource(folder / "a.onnx", "acme/doors/best"),
            ModelSource(folder),
        ),
        default_model="acme/doors/best",
        host="::",
        port=0,
        device="openvino:GPU",
        max_queue=7,
        timeout=1 / 3,
        max_body=12_345,
        max_pixels=67_890,
        max_videos=3,
        max_video_frames=77,
        max_video_seconds=8.5,
        max_tiles=44,
        url_fetch=True,
        trusted_fetch=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
        api_keys=keys,
        no_auth=True,
        cors=("https://a.example", "http://b.example:8080"),
        workers=3,
        head_timeout=1.5,
        max_head=4096,
        min_rate=10,
        rate_window=0.5,
        keep_alive=2.0,
        max_uploads=98_765,
        max_client_uploads=54_321,
        trusted_proxy=(ip_network("10.2.0.0/16"), ip_network("::1/128")),
        batch_window=0.125,
        drain=7.25,
        log_format="json",
    )
    unset = [field.name for field in fields(Settings) if getattr(settings, field.name) == field.default]
    assert not unset
    assert by_variables(settings.to_environment()) == settings


@pytest.mark.parametrize("named", [None, "id"], ids=["stem", "named"])
def test_the_environment_carries_odd_paths(tmp_path: Path, named: str | None) -> None:
    for name in ("run:1", "a;b", "spaces  two", "=", "~", "it's", 'quo"te', "$HOME", "%20"):
        path = tmp_path / name / f"{name}.onnx"
        path.parent.mkdir()
        path.write_text("x")
        source = ModelSource(path, named)
        for sources in ((source,), (source, ModelSource(tmp_path / "a.onnx", "other"))):
            settings = Settings(models=sources)
            assert by_variables(settings.to_environment()) == settings, name


@settings(deadline=None, max_examples=20)
@given(
    port=st.integers(0, 65535),
    timeout=st.floats(0.05, 3600),
    window=st.floats(0, 1000),
    amount=st.integers(1, 10**12),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_the_environment_carries_any_number(
    port: int, timeout: float, window: float, amount: int, flags: tuple[bool, bool]
) -> None:
    settings = Settings(
        port=port,
        timeout=timeout,
        batch_window=window,
        max_body=amount,
        max_pixels=amount,
        url_fetch=flags[0],
        no_auth=flags[1],
    )
    assert by_variables(settings.to_environment()) == settings


# ---- amounts ----------------------------------------------------------------------------------------------


def test_amounts() -> None:
    for text, body, pixels in (
        ("1", 1, 1),  # the least
        ("33554432", 2**25, 33_554_432),  # as it is
        ("32M", 2**25, 32_000_000),  # bytes count by 1024, pixels by 1000
        ("32m", 2**25, 32_000_000),  # either case
        (" 2K ", 2048, 2000),  # blanks around
        ("1.5G", 3 * 2**29, 1_500_000_000),  # a fraction
        ("0.5K", 512, 500),  # a fraction below one
    ):
        settings = by_flags("--max-body", text, "--max-pixels", text)
        assert (settings.max_body, settings.max_pixels) == (body, pixels)
        assert type(settings.max_body) is int


def test_what_is_no_amount_is_refused() -> None:
    for text in (
        "0",  # nothing would fit
        "-1",  # below nothing
        "0.0001K",  # less than one
        "1e9",  # no K, M or G
        "32MB",  # a unit of two letters
        "32 M",  # a blank within
        "M",  # no number
        ".5M",  # no digit before the point
        "nan",
        "inf",
        "0x10",
        "",
        "1,000",
        "1" * 16,  # more than anyone has
    ):
        for option in ("--max-body", "--max-pixels"):
            refused(option, text, f"Invalid value for '{option}'", repr(text), "32M")
    # OpenCV reads the number of pixels from the environment as 64 bits, and ends the process on more.
    refused("--max-pixels", "999999999999999G", "Invalid value for '--max-pixels'")


# ---- what is refused --------------------------------------------------------------------------------------


def refused(option: str, value: str, *parts: str) -> None:
    """By flag and by variable: one line, which names the option and says what was expected."""
    with pytest.raises(click.UsageError) as by_flag:
        by_flags(option, value)
    messages = [by_flag.value.format_message()]
    if value:
        with pytest.raises(InputError) as by_variable:
            by_variables({f"YOLEAN_{option[2:].replace('-', '_').upper()}": value})
        messages.append(str(by_variable.value))
    for message in messages:
        assert len(message.splitlines()) == 1
        assert [part for part in (option, *parts) if part not in message] == [], message


REFUSED = [
    # option, value, part of the message
    ("--models", "missing.onnx", "'missing.onnx' does not exist: expected an .onnx file or a folder"),
    ("--models", "x=missing.onnx", "'missing.onnx' does not exist"),
    ("--models", "x=models", "models is a folder"),
    ("--models", "a b=a.onnx", "an id is made of letters, digits"),
    ("--models", "a/b/c/d=a.onnx", "of up to 3 such parts"),
    *(
        ("--models", f"{name}=a.onnx", "an id is made of")
        for name in ("/a", "a/", "a//b", "a/../b", ".", "a\\b")
    ),
    ("--models", "=a.onnx", "an id is made of letters, digits"),
    ("--models", "x" * 101 + "=a.onnx", "an id is made of letters, digits"),
    ("--models", "~nobody-is-called-so/a.onnx", "does not exist"),
    ("--models", "", "expected an .onnx file or a folder"),  # not this folder, whatever it is
    ("--port", "65536", "0<=x<=65535"),
    ("--port", "-1", "0<=x<=65535"),
    ("--port", "http", "'http' is not a valid integer"),
    ("--max-queue", "0", "1<=x<=100000"),
    ("--max-tiles", "-1", "0<=x<=10000"),
    ("--max-tiles", "10001", "0<=x<=10000"),
    ("--timeout", "0", "0.05<=x<=3600"),
    ("--timeout", "soon", "not a valid float"),
    ("--timeout", "inf", "0.05<=x<=3600"),
    ("--timeout", "nan", ""),  # no request would ever be too late
    ("--batch-window", "-1", "0<=x<=1000"),
    ("--batch-window", "nan", ""),  # nobody can sleep for so long
    ("--drain", "0", "1<=x<=3600"),
    ("--drain", "nan", ""),  # the server would never end
    ("--workers", "0", "1<=x<=256"),
    ("--workers", "257", "1<=x<=256"),
    ("--head-timeout", "0", "0.05<=x<=3600"),
    ("--rate-window", "nan", ""),
    ("--trusted-proxy", "proxy.example", "expected a network"),
    ("--trusted-fetch", "10.1.2.3/16", "'10.1.2.3/16': expected a network such as 10.1.0.0/16"),
    ("--trusted-fetch", "localhost", "'localhost': expected a network"),
    ("--trusted-fetch", "10.0.0.0/33", "expected a network"),
    ("--cors", "example.org", "'example.org': expected an origin such as https://example.org, or *"),
    ("--cors", "https://example.org/", "expected an origin"),
    ("--cors", "https://", "expected an origin"),
    ("--log-format", "xml", "'xml' is not one of 'text', 'json'"),
]


def test_what_is_not_allowed_is_refused_in_one_line() -> None:
    for option, value, part in REFUSED:
        refused(option, value, part)


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    for name in ("NO_AUTH", "URL_FETCH"):
        with pytest.raises(InputError, match="not a valid boolean") as refusal:
            by_variables({f"YOLEAN_{name}": "maybe"})
        assert "\n" not in str(refusal.value)


def test_a_key_in_the_place_of_its_file_is_not_repeated() -> None:
    key = "sk-0123456789abcdef"
    with pytest.raises(click.UsageError) as by_flag:
        by_flags("--api-keys", key)
    with pytest.raises(InputError) as by_variable:
        by_variables({"YOLEAN_API_KEYS": key})
    for message in (by_flag.value.format_message(), str(by_variable.value)):
        assert key not in message
        assert "YOLEAN_API_KEY" in message


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "a.onnx"
    assert by_variables({"YOLEAN_MODELS": "~/a.onnx"}).models == (ModelSource(path),)
    assert by_flags("--models", "x=~/a.onnx").models == (ModelSource(path, "x"),)


def test_a_file_whose_name_has_an_equals_sign_needs_no_id() -> None:
    Path("a=b.onnx").write_text("x")
    assert by_flags("--models", "a=b.onnx").models == (ModelSource(Path("a=b.onnx")),)


def test_settings_are_not_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]
