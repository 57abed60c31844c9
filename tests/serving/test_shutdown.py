"""The end of a server: nobody who has been let in is lost, and the end comes in time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from time import perf_counter
from types import SimpleNamespace

import pytest
from yolean.serving import shutdown as module
from yolean.serving.shutdown import Drain

PATIENCE = 10.0  # seconds after which a test fails instead of hanging

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Short times, and the handlers of this process as they were."""
    for name, seconds in (("QUIET_SECONDS", 0.06), ("LISTEN_SECONDS", 0.06), ("CUT_SECONDS", 0.0)):
        monkeypatch.setattr(module, name, seconds)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Server:
    """The web server whose signals are held back, its sockets, and what happened to them in which order."""

    def __init__(self):
        self.traffic = SimpleNamespace(inside=0, latest=0.0)
        self.events, self.ended = [], asyncio.Event()
        self.servers = [SimpleNamespace(close=lambda: self.events.append("closed")) for _ in range(2)]

    def handle_exit(self, number, frame):
        self.events.append(signal.Signals(number).name)
        self.ended.set()

    async def stays(self, seconds=0.15):
        await asyncio.sleep(seconds)
        assert not self.ended.is_set()


def draining(test, seconds=5.0):
    """Run a test with a server under way and its drain installed."""

    async def go():
        server = Server()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        drain = Drain(seconds)
        drain.install(server.traffic)
        async with asyncio.timeout(PATIENCE):
            await test(server, drain)

    asyncio.run(go())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_closes_its_socket_and_ends(number):
    async def test(server, drain):
        assert not drain.is_draining
        signal.raise_signal(number)
        assert drain.is_draining  # at once: /readyz says so from now on
        await server.ended.wait()
        assert server.events == ["closed", "closed", number.name]

    draining(test)


def test_newcomers_are_turned_away_for_a_moment_before_the_socket_closes():
    async def test(server, drain):
        closed = []
        server.servers[0].close = lambda: closed.append(perf_counter())
        told = perf_counter()
        signal.raise_signal(signal.SIGTERM)
        await server.ended.wait()
        assert closed[0] - told >= 0.06

    draining(test)


def test_who_is_inside_is_answered_before_the_socket_closes():
    async def test(server, drain):
        server.traffic.inside = 2
        signal.raise_signal(signal.SIGTERM)
        await server.stays()
        server.traffic.inside = 1
        await server.stays()
        assert server.events == []
        server.traffic.inside, server.traffic.latest = 0, perf_counter()
        await server.ended.wait()
        assert server.events == ["closed", "closed", "SIGTERM"]

    draining(test)


def test_who_had_connected_before_is_answered_before_the_end():
    async def test(server, drain):
        signal.raise_signal(signal.SIGTERM)
        while "closed" not in server.events:
            await asyncio.sleep(0.005)
        server.traffic.inside, server.traffic.latest = 1, perf_counter()  # a request on an open connection
        await server.stays()
        server.traffic.inside, server.traffic.latest = 0, perf_counter()
        answered = perf_counter()
        await server.ended.wait()
        assert perf_counter() - answered > 0.05  # another may follow on that connection

    draining(test)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_end_comes_in_time_whoever_is_still_inside(when, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("yolean"), "propagate", True)
    caplog.set_level(logging.INFO, "yolean.server")

    async def test(server, drain):
        if when == "before":
            server.traffic.inside = 3
        started = perf_counter()
        signal.raise_signal(signal.SIGTERM)
        if when == "after":
            while "closed" not in server.events:
                await asyncio.sleep(0.005)
            server.traffic.inside = 3
        await server.ended.wait()
        assert 0.2 < perf_counter() - started < 5
        assert server.events == ["closed", "closed", "SIGTERM"]

    draining(test, seconds=0.25)
    assert "3 requests cut off" in caplog.text


def test_busy_connections_do_not_delay_the_end_for_ever():
    async def test(server, drain):
        signal.raise_signal(signal.SIGTERM)
        while not server.ended.is_set():
            server.traffic.latest = perf_counter()
            await asyncio.sleep(0.005)
        assert server.events == ["closed", "closed", "SIGTERM"]

    draining(test, seconds=0.3)


def test_being_told_again_changes_nothing():
    async def test(server, drain):
        server.traffic.inside = 1
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
        await server.stays()
        server.traffic.inside = 0
        await server.ended.wait()
        await asyncio.sleep(0.05)
        assert server.events == ["closed", "closed", "SIGTERM"]

    draining(test)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_ctrl_c_again_ends_at_once(first):
    async def test(server, drain):
        server.traffic.inside = 1
        signal.raise_signal(first)
        await server.stays()
        signal.raise_signal(signal.SIGINT)
        assert server.events == ["SIGINT"]

    draining(test)


def test_beside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    errors = []

    async def go():
        Drain(5).install(SimpleNamespace(inside=0, latest=0.0))

    def run():
        try:
            asyncio.run(go())
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert errors == []
    assert signal.getsignal(signal.SIGTERM) is before


PROCESS = """
import asyncio, signal
from types import SimpleNamespace
from yolean.serving import shutdown
shutdown.QUIET_SECONDS = shutdown.LISTEN_SECONDS = 0.02
async def go():
    shutdown.Drain(5).install(SimpleNamespace(inside=0, latest=0.0))
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(2)
    print("still there", flush=True)
asyncio.run(go())
"""


def test_a_server_that_left_the_signal_to_the_system_ends_too():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
    command = [sys.executable, "-c", PROCESS]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    assert ended.stdout == b""
    assert ended.returncode == -signal.SIGTERM
