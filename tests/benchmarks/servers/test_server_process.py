"""Servers under test as processes: they come up, become idle, or say why they do not."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from yolean.benchmarks.record_base import YOLEAN_SERVE
from yolean.benchmarks.servers.server_process import Server, ServerError, free_port, running
from yolean.benchmarks.servers.servers_under_test import servers_under_test
from yolean.models import demo_model


class Process:
    """A process of which only the exit status is known."""

    def __init__(self, status: int | None = None) -> None:
        self.status = status

    def poll(self) -> int | None:
        return self.status


def server(answered: Any, status: int | None = None) -> Server:
    process: Any = Process(status)
    return Server(process, answered.server_address[1])


def test_a_server_is_idle_when_it_answers_again(answered: Any) -> None:
    answered.statuses[:] = [503, 503, 200]
    server(answered).wait_until_idle(b"image")
    assert answered.count == 3


def test_a_server_that_died_is_not_waited_for(answered: Any) -> None:
    answered.statuses[:] = [500]
    with pytest.raises(ServerError, match="stopped answering"):
        server(answered, status=1).wait_until_idle(b"image")


def test_a_server_that_does_not_come_up_says_why() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('first\\nno such module')"]
    with pytest.raises(ServerError) as caught, running(command, b"image", free_port()):
        pass
    assert caught.value.message == "did not come up: no such module"


def test_what_configures_our_servers_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLEAN_API_KEY", "secret")
    code = "import os, sys; sys.exit(f\"{os.environ.get('YOLEAN_API_KEY')} {os.environ['MORE']}\")"
    command = [sys.executable, "-c", code]
    with (
        pytest.raises(ServerError, match="None here"),
        running(command, b"image", free_port(), {"MORE": "here"}),
    ):
        pass


def test_ultralytics_does_not_get_a_lean_file() -> None:
    found, missing = servers_under_test(demo_model(), [demo_model("pose")], [])
    assert [each.name for each in found][:2] == [YOLEAN_SERVE, "yolean serve, pose"]
    reasons = {each.system: each.reason for each in missing}
    assert "plain export" in reasons["litserve + ultralytics"]
    assert found[1].command(77)[-4:] == ["--port", "77", "--models", f"measured={demo_model('pose')}"]
