"""Starting a server: what `yolean serve` and plain uvicorn do with settings, in processes of their own."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from yolean.cli.main import cli
from yolean.models import demo_images, demo_model

IMAGE = {"image": demo_images()[0].read_bytes()}
PREDICT = "/v1/predict/shapes"
KEY = "a-key-of-the-tests"
ORIGIN = "https://page.example"


def assert_one_line(server: Any, *words: str, several: bool = False) -> None:
    """It ended with status 2, and said why in one line; several processes may each say it."""
    assert server.wait() == 2, server.log
    line, *more = [line for line in server.lines if not re.match(r"yolean \S+ serves on ", line)]
    assert not more or several
    assert [word for word in words if word not in line] == [], line
    assert line.isprintable() or line[:-1].isprintable()


HOPELESS: dict[str, tuple[list[str], dict[str, str], list[str]]] = {
    # what it is, options, variables, words of the line
    "open to all": (["--host", "0.0.0.0"], {}, ["0.0.0.0", "--api-keys", "--no-auth"]),
    "no such host": (["--host", "nothing.invalid", "--no-auth"], {}, ["nothing.invalid", "--port"]),
    "a bad key in a variable": ([], {"YOLEAN_API_KEY": "a key"}, ["key 1", "YOLEAN_API_KEY"]),
    "no model": (["--models", "EMPTY"], {}, ["empty.txt"]),
    "a corrupt model": (["--models", "CORRUPT"], {}, ["corrupt.onnx"]),
    "a corrupt model, twice": (["--models", "CORRUPT", "--workers", "2"], {}, ["corrupt.onnx"]),
    "one id for two": (["--models", "a=SHAPES", "--models", "a=CORRUPT"], {}, ["'a'"]),
    # What click refuses, with the usage before it.
    "a key instead of a file": (["--api-keys", "s3cr3t"], {}, ["--api-keys", "YOLEAN_API_KEY"]),
}


@pytest.fixture(scope="module")
def hopeless(
    start_module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Servers that cannot start, all at once: one after the other they would take long."""
    folder = tmp_path_factory.mktemp("hopeless")
    files = {
        "EMPTY": ("empty.txt", b"# nothing\n"),
        "CORRUPT": ("corrupt.onnx", demo_model().read_bytes()[:50_000]),
        "SHAPES": ("shapes.onnx", demo_model().read_bytes()),
    }  # fmt: skip
    for name, content in files.values():
        (folder / name).write_bytes(content)

    def start(options: list[str], environment: dict[str, str]) -> Any:
        for word, (name, _) in files.items():
            options = [option.replace(word, str(folder / name)) for option in options]
        # It has no port to tell, so there is no sense in waiting for its line.
        return start_module_server(*options, env=environment, ready=False, port=1)

    return {name: start(options, environment) for name, (options, environment, _) in HOPELESS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOPELESS)
def test_what_cannot_be_served_is_said_in_one_line(hopeless: dict[str, Any], name: str) -> None:
    options, _, words = HOPELESS[name]
    server = hopeless[name]
    if any("Usage: " in line for line in server.lines if server.wait() == 2):
        server.lines[:] = [" ".join(server.lines[-1].split())]
    assert_one_line(server, *words, several="--workers" in options)
    assert "s3cr3t" not in server.log


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "::"], ["--host ::", "--api-keys", "--no-auth"]),
        (["--api-keys", "EMPTY"], ["--api-keys", "no key"]),
        (["--api-keys", "BAD"], ["key 2"]),
        (["--models", "a=nothing.onnx"], ["'nothing.onnx'", "does not exist"]),
        (["--max-body", "lots"], ["--max-body", "'lots'", "32M"]),
    ],
)
def test_what_is_refused_before_there_is_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: list[str]
) -> None:
    """The same for what needs no process of its own to be seen."""
    monkeypatch.setattr(socket, "create_server", lambda *_, **__: pytest.fail("it would have listened"))
    for name, content in (("EMPTY", "# nothing\n"), ("BAD", "good\nnot good\n")):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["serve", *options], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    line = result.stderr.partition("Error: ")[2]
    assert line.count("\n") == 1
    assert [word for word in words if word not in line] == [], line


@pytest.mark.slow
def test_a_port_that_is_taken(server: Any, start_server: Callable[..., Any]) -> None:
    assert_one_line(start_server("--port", server.port, ready=False), str(server.port), "--port")


@pytest.mark.slow
def test_without_authentication_it_may_listen_everywhere(start_server: Callable[..., Any]) -> None:
    server = start_server("--host", "0.0.0.0", "--no-auth", "--models", demo_model())
    assert "serves on http://0.0.0.0:" in server.lines[0]
    assert server.http.post(PREDICT, files=IMAGE).status_code == 200
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(f"http://{own_address()}:{server.port}{PREDICT}", files=IMAGE, timeout=30)
    assert reply.status_code == 200


def own_address() -> str:
    """An address of this machine that is not 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")


UVICORN = ["-m", "uvicorn", "yolean.server:app", "--no-access-log"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_under_plain_uvicorn_the_environment_configures_it(
    start_server: Callable[..., Any], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    port = free_port()
    environment = {
        "YOLEAN_MODELS": f"a={demo_model()}:{demo_model('classify')}", "YOLEAN_API_KEYS": str(keys),
        "YOLEAN_API_KEY": "one-more", "YOLEAN_MAX_BODY": "100K", "YOLEAN_CORS": f"https://a.example {ORIGIN}",
        "YOLEAN_LOG_FORMAT": "json",
    }  # fmt: skip
    server = start_server(env=environment, command=[*UVICORN, "--port", port], port=port)
    models = server.http.get("/v1/models").json()["models"]
    assert [model["id"] for model in models] == ["a", "shapes-cls"]
    for key, status in ((None, 401), ("other", 401), (KEY, 200), ("one-more", 200)):
        assert (
            server.http.post("/v1/predict/a", files=IMAGE, headers={"x-api-key": key}).status_code == status
        )
    reply = server.http.post(
        "/v1/predict/a", data=b"\0" * 150_000, headers={"x-api-key": KEY, "content-type": "image/png"}
    )
    server.check_refusal(reply, 413, "102,400")
    assert server.http.get("/", headers={"origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN
    assert "one-more" not in server.log


@pytest.mark.slow
def test_under_plain_uvicorn_others_are_kept_out_where_there_are_no_keys(
    start_server: Callable[..., Any],
) -> None:
    address, port = own_address(), free_port()
    command = [*UVICORN, "--host", "0.0.0.0", "--port", port]
    server = start_server(env={"YOLEAN_MODELS": str(demo_model())}, command=command, port=port)
    assert server.http.post(PREDICT, files=IMAGE).status_code == 200
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(f"http://{address}:{port}{PREDICT}", files=IMAGE, timeout=30)
    server.check_refusal(reply, 401, "YOLEAN_API_KEYS", "YOLEAN_NO_AUTH")


@pytest.mark.slow
def test_a_setting_that_cannot_be_ends_plain_uvicorn(start_server: Callable[..., Any]) -> None:
    port = free_port()
    command = [*UVICORN, "--port", port]
    server = start_server(env={"YOLEAN_MAX_QUEUE": "none"}, command=command, port=port, ready=False)
    assert server.wait() != 0
    assert "YOLEAN_MAX_QUEUE" in server.log or "--max-queue" in server.log
    server.forgive()  # a traceback is uvicorn's way
