"""Around every request: its id, its line in the log, and an answer to whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from yolean.engine.errors import DeviceError, InputError, ModelError, ServerBusy, YoleanError
from yolean.serving import middleware
from yolean.serving.bodies import BodyTooLarge, UnknownBody
from yolean.serving.client_limits import SlowUpload
from yolean.serving.error_responses import NotAllowed, NotFound, reply_to
from yolean.serving.fetch.fetcher import FetchError
from yolean.serving.image_guard.headers import NotAnImage
from yolean.serving.middleware import Access
from yolean.serving.shutdown import Drain
from yolean.serving.tickets import ClientGone, DeadlineError

SECRET = "sk-0123456789abcdef"

Headers = Iterable[tuple[bytes, bytes]]


class Log(logging.Handler):
    """What the server logs while a test runs."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def request(self) -> dict[str, Any]:
        """The one request that was logged."""
        (request,) = [vars(record)["request"] for record in self.records if hasattr(record, "request")]
        assert isinstance(request, dict)
        return request


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    found = Log()
    loggers = [logging.getLogger(name) for name in ("yolean.access", "yolean.server")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(found)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    yield found
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.removeHandler(found)
        logger.setLevel(level)
        logger.propagate = propagate


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send)


async def answer(send: Send, status: int = 200) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def raising(error: Exception) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


class Exchange:
    """One request to an app inside of `Access`. `body` is how it arrives; it never ends without an end."""

    def __init__(
        self,
        app: ASGIApp = fine,
        headers: Headers = (),
        body: Iterable[Message | Exception] = (),
        draining: bool = False,
        **scope: object,
    ) -> None:
        self.sent: list[Message] = []
        self.taken = 0
        self.drain = Drain(1)
        self.drain.is_draining = draining
        self._access = Access(app, self.drain)
        self._body = list(body)
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/predict/m",
            "query_string": b"",
            "headers": list(headers),
            "client": ("192.0.2.7", 4711),
        } | scope

    async def receive(self) -> Message:
        if self.taken == len(self._body):
            await asyncio.Event().wait()
        self.taken += 1
        message = self._body[self.taken - 1]
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def go(self) -> None:
        await self._access(self._scope, self.receive, self.send)

    def run(self) -> Exchange:
        asyncio.run(asyncio.wait_for(self.go(), 10))
        return self

    @property
    def _start(self) -> Message:
        (start,) = [message for message in self.sent if message["type"] == "http.response.start"]
        return start

    @property
    def status(self) -> object:
        return self._start["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self._start["headers"]}

    @property
    def content(self) -> bytes:
        return b"".join(message["body"] for message in self.sent if message["type"] == "http.response.body")

    @property
    def has_ended(self) -> bool:
        """Whether the answer is complete."""
        return not self.sent[-1].get("more_body", False)


# ---- the id -----------------------------------------------------------------------------------------------


def test_a_clients_own_id_is_kept_if_it_is_harmless(log: Log) -> None:
    harmless = ("a", "0123-abcd", "req_1.2:3=4+5/6", "x" * 128, "01890a5d-ac96-774b-bcce-b302099a8057")
    hostile = (
        "", "x" * 129, "two words", "a\nb", "a\r\nset-cookie: x", "\x1b[31mred", "\xff", "Ã¼", '"', "<b>",
    )  # fmt: skip
    for given in (*harmless, *hostile):
        log.records.clear()
        found = Exchange(headers=[(b"x-request-id", given.encode("latin-1"))]).run().headers["x-request-id"]
        assert found == log.request["id"]
        if given in harmless:
            assert found == given
        else:
            assert found.isalnum()
            assert len(found) == 16


def test_every_request_has_an_id_of_its_own_that_endpoints_know() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["request_id"])
        await answer(send)

    assert [Exchange(app).run().headers["x-request-id"] for _ in range(20)] == seen
    assert len(set(seen)) == 20


# ---- the line ---------------------------------------------------------------------------------------------


def test_a_request_is_logged_with_what_the_endpoint_noted(log: Log) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["notes"] |= {"model": "m", "objects": 3}
        await answer(send, status=201)

    Exchange(app, path="/" + "x" * 10_000).run()
    found = log.request
    assert 0 <= found.pop("ms") < 10_000
    assert len(found.pop("id")) == 16
    assert found == {
        "client": "192.0.2.7",
        "method": "POST",
        "path": "/" + "x" * 199,
        "status": 201,
        "model": "m",
        "objects": 3,
    }


def test_no_header_and_no_query_is_logged(log: Log) -> None:
    headers = [(name, SECRET.encode()) for name in (b"x-api-key", b"authorization", b"cookie", b"referer")]
    query = f"url=http://a/?token={SECRET}".encode()
    for app in (fine, raising(InputError(f"url={SECRET}")), raising(HTTPException(404, SECRET))):
        Exchange(app, headers, query_string=query, raw_path=f"/v1/predict/m?{SECRET}".encode()).run()
    assert len(log.records) == 3
    assert SECRET not in repr([vars(record) for record in log.records])


def test_a_request_through_a_socket_file_has_no_client(log: Log) -> None:
    Exchange(client=None).run()
    assert log.request["client"] == ""


def test_a_client_that_has_left_gets_no_answer_and_is_logged(log: Log) -> None:
    assert Exchange(raising(ClientGone("gone"))).run().sent == []
    assert (log.request["status"], log.request["left"]) == (0, True)


# ---- errors -----------------------------------------------------------------------------------------------

ERRORS: list[tuple[Exception, int, dict[str, str]]] = [
    (InputError("size=1: expected 32"), 400, {}),
    (ModelError("ONNX Runtime says that"), 400, {}),
    (NotAllowed("no key"), 401, {"www-authenticate": "Bearer, x-api-key"}),
    (NotFound("no such model"), 404, {}),
    (HTTPException(404), 404, {}),
    (HTTPException(405, headers={"Allow": "POST"}), 405, {"allow": "POST"}),
    (SlowUpload("too slow"), 408, {"connection": "close"}),
    (BodyTooLarge("too large"), 413, {"connection": "close"}),
    (NotAnImage("no image"), 415, {}),
    (UnknownBody("no body"), 415, {}),
    (FetchError("not there"), 422, {}),
    (ServerBusy("full", 7), 503, {"retry-after": "7"}),
    (DeadlineError("late"), 504, {}),
    (DeviceError("the GPU fell off"), 500, {}),
    (YoleanError("of no kind"), 500, {}),
    (RuntimeError("a bug"), 500, {}),
    (MemoryError(), 500, {}),
    (KeyError("x"), 500, {}),
]


@pytest.mark.parametrize(("error", "status", "headers"), ERRORS, ids=[repr(e[0])[:40] for e in ERRORS])
def test_every_error_has_its_status_and_one_form(
    error: Exception, status: int, headers: dict[str, str], log: Log
) -> None:
    exchange = Exchange(raising(error), [(b"x-request-id", b"my-id")]).run()
    assert exchange.status == status == log.request["status"] == reply_to(error, "x")[0]
    body = json.loads(exchange.content)
    assert (body.keys(), body["success"]) == ({"success", "message"}, False)
    message = body["message"]
    assert message
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.headers["content-length"] == str(len(exchange.content))
    assert exchange.headers["x-content-type-options"] == "nosniff"
    assert exchange.headers["x-request-id"] == "my-id"
    assert headers.items() <= exchange.headers.items()
    assert exchange.drain.inside == 0
    bugs = [record for record in log.records if record.name == "yolean.server"]
    if status == 500:  # its id alone is answered, and all of it logged
        assert "my-id" in message
        for detail in (str(error), type(error).__name__, "Traceback", ".py"):
            assert len(detail) < 3 or detail not in message
        (bug,) = bugs
        assert "my-id" in bug.getMessage()
        assert bug.exc_info is not None
        assert bug.exc_info[1] is error
        assert bug.levelname == "ERROR"
    else:
        assert not bugs
        if isinstance(error, ModelError):  # ONNX Runtime's words, which are not for clients
            assert str(error) not in message
            assert "image" in message
        elif not isinstance(error, HTTPException):
            assert message == str(error)


def test_an_error_amid_an_answer_breaks_the_connection(log: Log) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half way")

    exchange = Exchange(app)
    with pytest.raises(RuntimeError, match="half way"):
        exchange.run()
    assert [message["type"] for message in exchange.sent] == ["http.response.start"]
    assert log.request["status"] == 200
    assert exchange.drain.inside == 0
    assert any(record.exc_info for record in log.records)


# ---- draining ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draining", [False, True])
def test_while_the_server_drains_connections_end_with_their_answer(draining: bool) -> None:
    for app in (fine, raising(InputError("x")), raising(RuntimeError("x"))):
        headers = Exchange(app, draining=draining).run().headers
        assert headers.get("connection") == ("close" if draining else None)


def test_requests_are_counted_while_they_are_inside() -> None:
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(exchange.drain.inside)
        await asyncio.sleep(0)
        await answer(send)

    async def run() -> None:
        await asyncio.gather(*[exchange.go() for _ in range(3)])

    exchange = Exchange(app)
    asyncio.run(run())
    assert seen == [1, 2, 3]
    assert exchange.drain.inside == 0


def test_a_request_that_the_end_of_the_server_cuts_off_is_answered(log: Log) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(exchange.go())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    exchange = Exchange(app)
    asyncio.run(run())
    assert exchange.status == log.request["status"] == 503
    assert exchange.headers["retry-after"] == "1"
    assert exchange.drain.inside == 0


def test_what_is_no_request_passes_untouched(log: Log) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    exchange = Exchange()
    asyncio.run(Access(app, Drain(1))({"type": "lifespan"}, exchange.receive, exchange.send))
    assert seen == [{"type": "lifespan"}]
    assert log.records == []


# ---- an answer before the end of its request --------------------------------------------------------------


def chunk(size: int = 1000, more: bool = True) -> Message:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


LENGTH = [(b"content-length", b"3000")]
CHUNKED = [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize("headers", [LENGTH, CHUNKED])
def test_the_rest_of_a_request_is_read_before_its_answer_ends(headers: Headers) -> None:
    # A connection that is closed while the other side sends is reset, and the answer may be lost.
    exchange = Exchange(raising(NotAllowed("no")), headers, [chunk(), chunk(), chunk(more=False)])

    async def run() -> None:
        task = asyncio.create_task(exchange.go())
        while exchange.taken == 0:
            await asyncio.sleep(0)
        assert json.loads(exchange.content)["success"] is False  # the answer is out already
        await task

    asyncio.run(asyncio.wait_for(run(), 10))
    assert exchange.taken == 3
    assert exchange.has_ended
    assert exchange.drain.inside == 0


def test_what_has_been_read_or_is_not_there_is_not_waited_for() -> None:
    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await answer(send)

    for exchange in (Exchange(read, LENGTH, [chunk(), chunk(more=False)]), Exchange(method="GET")):
        exchange.run()
        assert (exchange.content, len(exchange.sent)) == (b"ok", 2)
        assert exchange.has_ended


def test_the_rest_is_read_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.02)
    monkeypatch.setattr(middleware, "LINGER_BYTES", 5000)
    never_comes = Exchange(fine, LENGTH, [chunk()]).run()
    without_end = Exchange(fine, CHUNKED, [chunk()] * 1000).run()
    leaves = Exchange(fine, LENGTH, [chunk(), {"type": "http.disconnect"}]).run()
    assert without_end.taken < 10
    for exchange in (never_comes, without_end, leaves):
        assert exchange.has_ended
        assert exchange.drain.inside == 0


@pytest.mark.parametrize("trouble", ["cancelled", "receive", "send"])
def test_trouble_while_the_rest_is_read_leaves_nothing_inside(trouble: str) -> None:
    # Or the server, when it ends, would wait for a request that is not there.
    broken = OSError("connection lost")

    class Troubled(Exchange):
        async def send(self, message: Message) -> None:
            if trouble == "send" and len(self.sent) == 2:
                raise broken
            await super().send(message)

    bodies: dict[str, list[Message | Exception]] = {"receive": [broken], "send": [chunk(more=False)]}
    exchange = Troubled(fine, LENGTH, bodies.get(trouble, []))

    async def run() -> None:
        task = asyncio.create_task(exchange.go())
        while len(exchange.sent) < 2:
            await asyncio.sleep(0)
        if trouble == "cancelled":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert exchange.drain.inside == 0
