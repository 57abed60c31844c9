"""Around every request: its id, its line in the log, and an answer to whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from starlette.exceptions import HTTPException
from yolean.engine.errors import DeviceError, InputError, ModelError, ServerBusy, YoleanError
from yolean.serving import middleware as module
from yolean.serving.bodies import BodyTooLarge, UnknownBody
from yolean.serving.client_limits import SlowUpload
from yolean.serving.error_responses import NotAllowed, NotFound, reply_to
from yolean.serving.fetch.fetcher import FetchError
from yolean.serving.image_guard.headers import NotAnImage
from yolean.serving.middleware import Access
from yolean.serving.shutdown import Drain
from yolean.serving.tickets import ClientGone, DeadlineError

SECRET = "sk-0123456789abcdef"


@pytest.fixture(autouse=True)
def records():
    """What the server logs while the test runs."""
    found = []
    handler = logging.Handler()
    handler.emit = found.append
    loggers = [logging.getLogger(name) for name in ("yolean.access", "yolean.server")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    yield found
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def line(records):
    """The one request that was logged."""

    def read():
        (request,) = [record.request for record in records if hasattr(record, "request")]
        return request

    return read


async def fine(scope, receive, send):
    await answer(send)


async def answer(send, body=b"ok", status=200):
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
    )
    await send({"type": "http.response.body", "body": body})


def raising(error):
    async def app(scope, receive, send):
        raise error

    return app


class Exchange:
    """One request to an app inside of `Access`. `body` is how it arrives; it never ends without an end."""

    def __init__(self, app=fine, headers=(), body=(), draining=False, **scope):
        self.sent, self.taken = [], 0
        self.drain = Drain(1)
        self.drain.is_draining = draining
        self.access = Access(app, self.drain)
        self.body = list(body)
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/predict/m",
            "query_string": b"",
            "headers": list(headers),
            "client": ("192.0.2.7", 4711),
        } | scope

    async def receive(self):
        if self.taken == len(self.body):
            await asyncio.Event().wait()
        self.taken += 1
        message = self.body[self.taken - 1]
        if isinstance(message, BaseException):
            raise message
        return message

    async def send(self, message):
        self.sent.append(message)

    async def go(self):
        await self.access(self.scope, self.receive, self.send)

    def run(self):
        asyncio.run(asyncio.wait_for(self.go(), 10))
        return self

    @property
    def status(self):
        (start,) = [m for m in self.sent if m["type"] == "http.response.start"]
        return start["status"]

    @property
    def headers(self):
        (start,) = [m for m in self.sent if m["type"] == "http.response.start"]
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def content(self):
        return b"".join(m["body"] for m in self.sent if m["type"] == "http.response.body")


# ---- the id -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["a", "0123-abcd", "req_1.2:3=4+5/6", "x" * 128, "01890a5d-ac96-774b-bcce-b302099a8057"]
)
def test_a_clients_own_id_is_kept(given, line):
    exchange = Exchange(headers=[(b"x-request-id", given.encode())]).run()
    assert exchange.headers["x-request-id"] == given == line()["id"]


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"x" * 129,
        b"two words",
        b"a\nb",
        b"a\r\nset-cookie: x",
        b"\x1b[31mred",
        b"\xff",
        "ü".encode(),
        b'"',
        b"<b>",
    ],
)
def test_a_hostile_id_is_replaced(given, line):
    exchange = Exchange(headers=[(b"x-request-id", given)]).run()
    own = exchange.headers["x-request-id"]
    assert own == line()["id"]
    assert own.isalnum()
    assert len(own) == 16


def test_every_request_has_an_id_of_its_own_that_endpoints_know():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["state"]["request_id"])
        await answer(send)

    told = [Exchange(app).run().headers["x-request-id"] for _ in range(20)]
    assert told == seen
    assert len(set(told)) == 20


# ---- the line ---------------------------------------------------------------------------------------------


def test_a_request_is_logged_with_what_the_endpoint_noted(line):
    async def app(scope, receive, send):
        scope["state"]["notes"] |= {"model": "m", "objects": 3}
        await answer(send, status=201)

    Exchange(app).run()
    found = line()
    assert 0 <= found.pop("ms") < 10_000
    assert len(found.pop("id")) == 16
    assert found == {
        "client": "192.0.2.7",
        "method": "POST",
        "path": "/v1/predict/m",
        "status": 201,
        "model": "m",
        "objects": 3,
    }


def test_no_header_and_no_query_is_logged(records):
    headers = [
        (name, SECRET.encode()) for name in (b"x-api-key", b"authorization", b"cookie", b"referer", b"host")
    ]
    query = f"url=http://a/?token={SECRET}".encode()
    for app in (fine, raising(InputError(f"url={SECRET}")), raising(HTTPException(404, SECRET))):
        Exchange(app, headers, query_string=query, raw_path=f"/v1/predict/m?{SECRET}".encode()).run()
    assert len(records) == 3
    assert SECRET not in repr([vars(record) for record in records])


def test_a_long_path_is_cut(line):
    Exchange(path="/" + "x" * 10_000).run()
    assert line()["path"] == "/" + "x" * 199


def test_a_request_that_came_through_a_socket_file_has_no_client(line):
    Exchange(client=None).run()
    assert line()["client"] == ""


def test_a_refusal_is_logged_with_its_status(line):
    Exchange(raising(NotFound("no such model"))).run()
    assert line()["status"] == 404


def test_who_has_left_gets_no_answer_and_is_logged(line):
    exchange = Exchange(raising(ClientGone("gone"))).run()
    assert exchange.sent == []
    assert (line()["status"], line()["left"]) == (0, True)


# ---- errors -----------------------------------------------------------------------------------------------

ERRORS = [
    (InputError("size=1: expected 32"), 400, {}),
    (ModelError("ONNX Runtime says that"), 400, {}),
    (NotAllowed("no key"), 401, {"www-authenticate": "x-api-key"}),
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
def test_every_error_has_its_status_and_one_form(error, status, headers):
    exchange = Exchange(raising(error)).run()
    assert exchange.status == status
    body = json.loads(exchange.content)
    assert body.keys() == {"success", "message"}
    assert body["success"] is False
    assert isinstance(body["message"], str)
    assert body["message"]
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.headers["content-length"] == str(len(exchange.content))
    assert exchange.headers["x-content-type-options"] == "nosniff"
    assert headers.items() <= exchange.headers.items()
    assert reply_to(error, "x")[0] == status


@pytest.mark.parametrize(
    "error",
    [e for e, status, _ in ERRORS if status != 500 and not isinstance(e, (ModelError, HTTPException))],
    ids=repr,
)
def test_what_a_client_can_mend_it_is_told(error):
    assert json.loads(Exchange(raising(error)).run().content)["message"] == str(error)


def test_what_the_runtime_says_about_a_image_is_not_told():
    message = json.loads(Exchange(raising(ModelError("/opt/onnxruntime/core/graph.cc:12"))).run().content)[
        "message"
    ]
    assert "onnxruntime" not in message
    assert "image" in message


@pytest.mark.parametrize("error", [e for e, status, _ in ERRORS if status == 500], ids=repr)
def test_a_bug_is_told_by_its_id_alone_and_logged_whole(error, records):
    exchange = Exchange(raising(error), [(b"x-request-id", b"my-id")]).run()
    text = exchange.content.decode()
    assert "my-id" in text
    assert exchange.headers["x-request-id"] == "my-id"
    for detail in (str(error), type(error).__name__, "Traceback", ".py"):
        assert not detail or len(detail) < 3 or detail not in text
    (logged,) = [record for record in records if record.name == "yolean.server"]
    assert "my-id" in logged.getMessage()
    assert logged.exc_info[1] is error
    assert logged.levelname == "ERROR"


def test_only_bugs_are_logged_as_errors(records):
    for error, status, _ in ERRORS:
        if status != 500:
            Exchange(raising(error)).run()
    assert {record.name for record in records} == {"yolean.access"}


def test_an_error_in_the_middle_of_an_answer_breaks_the_connection(records, line):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half way")

    exchange = Exchange(app)
    with pytest.raises(RuntimeError, match="half way"):
        exchange.run()
    assert [message["type"] for message in exchange.sent] == ["http.response.start"]
    assert line()["status"] == 200
    assert exchange.drain.inside == 0
    assert any(record.exc_info for record in records)


# ---- traffic ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draining", [False, True])
def test_while_the_server_drains_connections_end_with_their_answer(draining):
    for app in (fine, raising(InputError("x")), raising(RuntimeError("x"))):
        headers = Exchange(app, draining=draining).run().headers
        assert headers.get("connection") == ("close" if draining else None)


def test_requests_are_counted_while_they_are_inside():
    seen = []

    async def app(scope, receive, send):
        seen.append(exchange.drain.inside)
        await asyncio.sleep(0)
        await answer(send)

    exchange = Exchange(app)

    async def go():
        await asyncio.gather(*[exchange.go() for _ in range(3)])

    asyncio.run(go())
    assert seen == [1, 2, 3]
    assert exchange.drain.inside == 0


def test_who_is_cut_off_by_the_end_of_the_server_is_told_so(line):
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    exchange = Exchange(app)

    async def go():
        task = asyncio.create_task(exchange.go())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())
    assert exchange.status == 503
    assert exchange.headers["retry-after"] == "1"
    assert line()["status"] == 503
    assert exchange.drain.inside == 0


@pytest.mark.parametrize(
    "error", [InputError("x"), RuntimeError("x"), ClientGone("x"), HTTPException(404)], ids=repr
)
def test_requests_that_fail_are_not_counted_for_ever(error):
    assert Exchange(raising(error)).run().drain.inside == 0


def test_what_is_no_request_passes_untouched(records):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    scope = {"type": "lifespan"}
    asyncio.run(Access(app, Drain(1))(scope, None, None))
    assert seen == [{"type": "lifespan"}]
    assert records == []


# ---- an answer before the end of its request --------------------------------------------------------------


def chunk(size=1000, more=True):
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


LENGTH = [(b"content-length", b"3000")]
CHUNKED = [(b"transfer-encoding", b"chunked")]


def ended(sent):
    return not sent[-1].get("more_body", False)


@pytest.mark.parametrize("headers", [LENGTH, CHUNKED])
def test_the_rest_of_a_request_is_read_before_its_answer_ends(headers):
    # Who closes a connection while the other side sends resets it, and the answer may be lost.
    exchange = Exchange(raising(NotAllowed("no")), headers, [chunk(), chunk(), chunk(more=False)])

    async def go():
        task = asyncio.create_task(exchange.go())
        while exchange.taken == 0:
            await asyncio.sleep(0)
        assert json.loads(exchange.content)["success"] is False  # the answer is out already
        await task

    asyncio.run(asyncio.wait_for(go(), 10))
    assert exchange.taken == 3
    assert ended(exchange.sent)
    assert exchange.drain.inside == 0


def test_what_the_endpoint_has_read_is_not_waited_for():
    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await answer(send)

    exchange = Exchange(app, LENGTH, [chunk(), chunk(more=False)]).run()
    assert exchange.content == b"ok"
    assert len(exchange.sent) == 2
    assert ended(exchange.sent)


def test_a_request_without_a_body_is_not_waited_for():
    exchange = Exchange(fine, method="GET").run()
    assert exchange.taken == 0
    assert len(exchange.sent) == 2
    assert ended(exchange.sent)


def test_the_rest_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.02)
    exchange = Exchange(fine, LENGTH, [chunk()]).run()  # two thirds never come
    assert ended(exchange.sent)
    assert exchange.drain.inside == 0


def test_the_rest_is_not_read_without_end(monkeypatch):
    monkeypatch.setattr(module, "LINGER_BYTES", 5000)
    exchange = Exchange(fine, CHUNKED, [chunk()] * 1000).run()
    assert exchange.taken < 10
    assert ended(exchange.sent)


def test_who_leaves_before_the_rest_has_come_is_let_go():
    exchange = Exchange(fine, LENGTH, [chunk(), {"type": "http.disconnect"}]).run()
    assert exchange.drain.inside == 0


@pytest.mark.parametrize("trouble", ["cancelled", "receive", "send"])
def test_trouble_while_the_rest_is_read_leaves_nothing_inside(trouble):
    # Or the server, told to end, would wait for a request that is not there.
    broken = OSError("connection lost")
    exchange = Exchange(fine, LENGTH, {"receive": [broken], "send": [chunk(more=False)]}.get(trouble, []))
    send, count = exchange.send, []

    async def send_twice(message):
        count.append(message)
        if trouble == "send" and len(count) > 2:
            raise broken
        await send(message)

    exchange.send = send_twice

    async def go():
        task = asyncio.create_task(exchange.go())
        while len(count) < 2:
            await asyncio.sleep(0)
        if trouble == "cancelled":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(go(), 10))
    assert exchange.drain.inside == 0
