"""Fetching a URL, from a real server on this machine: what is given back, what is refused, in which words."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpcore
import pytest
import yolean
from yolean.engine.errors import InputError
from yolean.serving.fetch.fetcher import UNREACHABLE, Fetcher, FetchError

LOCAL = [ip_network("127.0.0.0/8")]
BODY = b"\x89PNG and so on"

# What a server says at a path: bytes, with PORT replaced by its port, or a function that writes them.
Answer = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ok(body: bytes = BODY, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def moved(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def endless(first: bytes, again: bytes, pause: float = 0) -> Answer:
    """An answer that goes on until the other side leaves; `pause` in seconds."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not (writer.is_closing() or reader.at_eof()):
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return write


class Server:
    """A server on 127.0.0.1; `requests` are the ones it got, as they came."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.requests: list[str] = []
        self.port = 0
        self._answers = answers
        self._running: set[asyncio.Task[None] | None] = set()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            answer = self._answers[self.requests[-1].split()[1]]
            if isinstance(answer, bytes):
                writer.write(answer.replace(b"PORT", b"%d" % self.port))
                await writer.drain()
            else:
                await answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def run(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            if self._running:
                await asyncio.wait([task for task in self._running if task], timeout=5)


@functools.cache
def tls_context(
    file: str | None, create: Callable[[], ssl.SSLContext] = httpcore.default_ssl_context
) -> ssl.SSLContext:
    return create()


@pytest.fixture(autouse=True)
def certificates_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them takes 50 ms, which makes half of the time of these tests."""
    monkeypatch.setattr(httpcore, "default_ssl_context", lambda: tls_context(os.environ.get("SSL_CERT_FILE")))


class Names:
    """A resolver: each name has a list of answers, used up in turn, the last one again and again."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.asked: list[str] = []
        self._answers = answers

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers[host.partition(".")[0]]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections went."""
    went: list[tuple[str, int]] = []
    real = httpcore.AnyIOBackend.connect_tcp

    async def connect(self: Any, host: str, port: int, **options: Any) -> httpcore.AsyncNetworkStream:
        went.append((host, port))
        return await real(self, host, port, **options)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    return went


def fetch(
    answers: dict[str, Answer],
    url: str = "http://127.0.0.1:PORT/",
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> tuple[bytes, Server]:
    """What a fetch of a URL, with PORT replaced, gives while a server is running; and that server."""
    server = Server(answers)

    async def run() -> bytes:
        fetcher = Fetcher(**{"max_bytes": 1000, "timeout": 5, "trusted": LOCAL, **options})
        async with server.run(tls):
            body = await fetcher.fetch(url.replace("PORT", str(server.port)))
        return body

    return asyncio.run(run()), server


def refused(answers: dict[str, Answer], url: str = "http://127.0.0.1:PORT/", **options: Any) -> str:
    """The message of a fetch that is refused."""
    with pytest.raises(FetchError) as caught:
        fetch(answers, url, **options)
    return str(caught.value)


def test_a_fetch() -> None:
    body, server = fetch({"/a%20b?c=d": ok()}, "http://127.0.0.1:PORT/a%20b?c=d#e")
    assert body == BODY
    first, *headers = server.requests[0].strip().split("\r\n")
    assert first == "GET /a%20b?c=d HTTP/1.1"
    assert {line.partition(": ")[0]: line.partition(": ")[2] for line in headers} == {
        "Host": f"127.0.0.1:{server.port}",
        "User-Agent": f"yolean/{yolean.__version__}",
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def test_an_error_is_an_input_error() -> None:
    assert issubclass(FetchError, InputError)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\x89PNG\r\nA\r\n and so on\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(),
        ok(headers="Content-Type: text/html\r\nContent-Encoding: identity\r\n"),
        ok(headers="Set-Cookie: a=b\r\n"),
    ],
    ids=["chunked", "until it closes", "with 1xx before", "of another type", "with a cookie"],
)
def test_an_answer_that_is_good(answer: bytes) -> None:
    assert fetch({"/": answer})[0] == BODY


def test_a_body_as_large_as_allowed_and_one_byte_more() -> None:
    assert len(fetch({"/": ok(b"a" * 1000)})[0]) == 1000
    assert len(fetch({"/": b"HTTP/1.0 200 OK\r\n\r\n" + b"a" * 1000})[0]) == 1000
    for answer in (ok(b"a" * 1001), b"HTTP/1.0 200 OK\r\n\r\n" + b"a" * 1001):
        assert "at most 1000 bytes" in refused({"/": answer})


def test_many_mebibytes() -> None:
    body = bytes(range(256)) * 4 * 4096
    chunks = b"".join(
        b"400\r\n" + body[start : start + 1024] + b"\r\n" for start in range(0, len(body), 1024)
    )
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert fetch({"/": ok(body)}, max_bytes=len(body))[0] == body
    assert fetch({"/": chunked}, max_bytes=len(body))[0] == body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",  # and no body: it is not waited for
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 100),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"64\r\n" + b"a" * 100 + b"\r\n"),
    ],
    ids=["announced", "endless", "endless chunks"],
)
def test_a_body_that_is_too_large(answer: Answer) -> None:
    assert refused({"/": answer}) == "expected at most 1000 bytes; send a smaller image"


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"A: " + b"a" * 1000 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nA: ", b"a" * 1000),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 100),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"a" * 9000 + b"\r\na\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: a\r\n" * 100),
        endless(b"", b"a" * 1000),
    ],
    ids=["headers", "one header", "100 Continue", "chunks of a byte", "extensions", "trailers", "no HTTP"],
)
def test_more_beside_the_body_than_allowed(answer: Answer) -> None:
    began = time.perf_counter()
    assert refused({"/": answer}, max_bytes=10**9, timeout=30) == UNREACHABLE
    assert time.perf_counter() - began < 5  # it is the amount that ends it, not the time


def test_a_compressed_answer() -> None:
    for coding in ("gzip", "br", "identity, gzip", "GZIP"):
        assert "its server compressed them" in refused({"/": ok(headers=f"Content-Encoding: {coding}\r\n")})


def test_a_status_is_reported() -> None:
    for status in (201, 204, 206, 300, 304, 401, 404, 500, 503):
        answer = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
        assert refused({"/": answer}) == f"expected an image, its server answered {status}"


def test_a_redirect_to_nowhere_is_a_status() -> None:
    assert refused({"/": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"}).endswith("answered 302")


def test_a_redirect() -> None:
    for status in (301, 302, 303, 307, 308):
        body, server = fetch({"/": moved("b?c", status), "/b?c": ok()})
        assert body == BODY
        assert [request.split()[1] for request in server.requests] == ["/", "/b?c"]


def test_three_redirects_and_four() -> None:
    answers: dict[str, Answer] = {f"/{n}": moved(f"http://127.0.0.1:PORT/{n - 1}") for n in range(1, 9)}
    answers["/0"] = ok()
    assert fetch(answers, "http://127.0.0.1:PORT/3")[0] == BODY
    assert "at most 3 redirects" in refused(answers, "http://127.0.0.1:PORT/4")


def test_a_redirect_in_a_circle() -> None:
    assert "at most 3 redirects" in refused({"/": moved("/")})


REFUSED_REDIRECTS = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:PORT/",
    "http://[::1]/",
    "http://10.0.0.1/",
    "http://[::ffff:10.0.0.1]/",
    "//192.168.0.1/",
    "http://2852039166/",
    "http://1.1.1.1:8080/",
    "http://user@127.0.0.1:PORT/b",
    "http://127.0.0.1\\@127.0.0.1:PORT/b",
    "http://127.0.0.1:PORT/b c",
    "/\tb",
    "\\b",
    "http://127.0.0.1:PORT/b, http://127.0.0.1:PORT/b",
    "http://127.0.0.1:PORT/" + "b" * 2000,
    "https:b",
    "file:///etc/passwd",
    "ftp://127.0.0.1:PORT/b",
    "gopher://127.0.0.1:PORT/b",
    "data:image/png;base64,AAAA",
]


def test_a_redirect_that_is_refused(connections: list[tuple[str, int]]) -> None:
    for location in REFUSED_REDIRECTS:
        connections.clear()
        assert refused({"/": moved(location), "/b": ok()}) == UNREACHABLE, location
        assert len(connections) == 1, location


def test_a_redirect_that_is_not_text() -> None:
    assert refused({"/": b"HTTP/1.1 302 Found\r\nLocation: /\xff\r\n\r\n"}) == UNREACHABLE


def unused_port() -> int:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        return int(other.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that does not even take connections: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def unknown(host: str, port: int) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


async def slow_names(host: str, port: int) -> Sequence[str]:
    await asyncio.sleep(30)
    return ["127.0.0.1"]


NEVER_ANSWERED: dict[str, Callable[[], str]] = {
    "address refused": lambda: refused({}, "http://10.0.0.1/"),
    "port refused": lambda: refused({}, "http://1.1.1.1:22/"),
    "name unknown": lambda: refused({}, "http://a.com/", resolver=unknown),
    "name without addresses": lambda: refused({}, "http://a.com/", resolver=Names(a=[[]])),
    "name too slow": lambda: refused({}, "http://a.com/", resolver=slow_names, timeout=0.1),
    "connection refused": lambda: refused({}, f"http://127.0.0.1:{unused_port()}/"),
    "no TLS there": lambda: refused({}, "https://127.0.0.1:PORT/", timeout=0.5),
    "closed at once": lambda: refused({"/": b""}),
    "closed in the headers": lambda: refused({"/": b"HTTP/1.1 200 OK\r\nA"}),
    "closed in the body": lambda: refused({"/": ok()[:-1]}),
    "no HTTP": lambda: refused({"/": b"+OK redis\r\n\r\n"}),
    "two lengths": lambda: refused({"/": ok(headers="Content-Length: 1\r\n")}),
    "compressed chunks": lambda: refused(
        {"/": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"}
    ),
    "no answer": lambda: refused({"/": endless(b"", b"", 0.02)}, timeout=0.1),
    "slow headers": lambda: refused({"/": endless(b"HTTP/1.1 200 OK\r\n", b"A: a\r\n", 0.02)}, timeout=0.1),
    "slow body": lambda: refused({"/": endless(ok(b"a" * 1000)[:-900], b"a", 0.02)}, timeout=0.1),
    "slow redirects": lambda: refused({"/": slow_redirect}, timeout=0.1),
}


async def slow_redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.06)
    writer.write(moved("/"))


@pytest.mark.parametrize("message", NEVER_ANSWERED.values(), ids=NEVER_ANSWERED)
def test_one_text_for_all_that_gave_no_answer(message: Callable[[], str]) -> None:
    began = time.perf_counter()
    assert message() == UNREACHABLE
    assert time.perf_counter() - began < 4


def test_a_port_that_is_silent(silent_port: int) -> None:
    assert refused({}, f"http://127.0.0.1:{silent_port}/", timeout=0.2) == UNREACHABLE


def test_a_silent_address_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch, connections: list[tuple[str, int]]
) -> None:
    counted = httpcore.AnyIOBackend.connect_tcp

    async def connect(self: Any, host: str, port: int, **options: Any) -> httpcore.AsyncNetworkStream:
        if host != "127.0.0.1":
            connections.append((host, port))
            await asyncio.wait_for(asyncio.Event().wait(), options["timeout"])
        return await counted(self, host, port, **options)

    async def timed(self: Any, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        try:
            return await connect(self, *args, **options)
        except TimeoutError as error:  # as the real one maps it
            raise httpcore.ConnectTimeout from error

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", timed)
    names = Names(a=[["127.0.0.8", "127.0.0.9", "127.0.0.1"]])
    assert fetch({"/": ok()}, "http://a.com:PORT/", resolver=names, timeout=1.2)[0] == BODY
    assert [host for host, _ in connections] == ["127.0.0.8", "127.0.0.9", "127.0.0.1"]


def test_the_next_address_when_one_refuses(connections: list[tuple[str, int]]) -> None:
    names = Names(a=[["127.0.0.9", "127.0.0.9", "127.0.0.1"]])  # the server listens on the last only
    assert fetch({"/": ok()}, "http://a.com:PORT/", resolver=names)[0] == BODY
    assert [host for host, _ in connections] == ["127.0.0.9", "127.0.0.1"]


def test_a_name_is_looked_up_once(
    connections: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer would lead inside, and nobody asks for it: neither the fetcher nor what it uses."""
    real = socket.getaddrinfo

    def literals_only(host: Any, *args: Any, **options: Any) -> Any:
        assert host in (None, "127.0.0.1", b"127.0.0.1"), host
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", literals_only)
    names = Names(rebinding=[["127.0.0.1"], ["169.254.169.254"]])
    body, server = fetch({"/": ok()}, "http://rebinding.com:PORT/", resolver=names)
    assert body == BODY
    assert names.asked == ["rebinding.com"]
    assert connections == [("127.0.0.1", server.port)]
    assert f"Host: rebinding.com:{server.port}\r\n" in server.requests[0]


def test_a_name_is_looked_up_anew_for_a_redirect(connections: list[tuple[str, int]]) -> None:
    names = Names(rebinding=[["127.0.0.1"], ["169.254.169.254"]])
    answers: dict[str, Answer] = {"/": moved("/b"), "/b": ok()}
    assert refused(answers, "http://rebinding.com:PORT/", resolver=names) == UNREACHABLE
    assert names.asked == ["rebinding.com"] * 2
    assert [host for host, _ in connections] == ["127.0.0.1"]


def test_the_systems_resolver() -> None:
    """Of this machine `localhost` is known everywhere; with IPv6 it has a second address, that is inside."""
    both = [*LOCAL, ip_network("::1/128")]
    assert fetch({"/": ok()}, "http://localhost:PORT/", trusted=both)[0] == BODY
    assert refused({"/": ok()}, "http://localhost:PORT/", trusted=()) == UNREACHABLE


def test_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch, connections: list[tuple[str, int]]) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    _, server = fetch({"/": ok()})
    assert connections == [("127.0.0.1", server.port)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for images.test, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    folder = tmp_path_factory.mktemp("certificate")
    key, signed, both = folder / "key.pem", folder / "signed.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=images.test"]
    command += [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-keyout",
        str(key),
        "-out",
        str(signed),
    ]
    for extension in (
        "subjectAltName=DNS:images.test",
        "keyUsage=critical,digitalSignature,keyCertSign",
    ):
        command += ["-addext", extension]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


NAMES = {"images": [["127.0.0.1"]], "other": [["127.0.0.1"]]}


def test_tls(tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address was checked, and the certificate still is for the name: also the name sent is the URL's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    asked: list[str | None] = []
    tls.sni_callback = lambda _, name, __: asked.append(name)
    body, _ = fetch({"/": ok()}, "https://images.test:PORT/", tls, resolver=Names(**NAMES))
    assert body == BODY
    assert asked == ["images.test"]
    for url in ("https://other.test:PORT/", "https://127.0.0.1:PORT/"):
        assert refused({"/": ok()}, url, tls=tls, resolver=Names(**NAMES)) == UNREACHABLE


def test_tls_of_nobody_known(tls: ssl.SSLContext) -> None:
    url = "https://images.test:PORT/"
    assert refused({"/": ok()}, url, tls=tls, resolver=Names(**NAMES)) == UNREACHABLE


def test_tls_with_too_much(tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    answer = endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    url = "https://images.test:PORT/"
    began = time.perf_counter()
    assert refused({"/": answer}, url, tls=tls, resolver=Names(**NAMES), timeout=30) == UNREACHABLE
    assert time.perf_counter() - began < 5


def test_many_at_once() -> None:
    async def run() -> list[bytes]:
        fetcher = Fetcher(max_bytes=1000, timeout=5, trusted=LOCAL)
        async with Server({f"/{n}": ok(b"%d" % n) for n in range(20)}).run() as server:
            return await asyncio.gather(
                *(fetcher.fetch(f"http://127.0.0.1:{server.port}/{n}") for n in range(20))
            )

    assert asyncio.run(run()) == [b"%d" % n for n in range(20)]


def test_a_fetch_that_is_cancelled() -> None:
    """The client of the server went away: the connection is closed with it."""

    async def run() -> None:
        fetcher = Fetcher(max_bytes=1000, timeout=30, trusted=LOCAL)
        async with Server({"/": endless(b"", b"", 0.01)}).run() as server:
            task = asyncio.create_task(fetcher.fetch(f"http://127.0.0.1:{server.port}/"))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    began = time.perf_counter()
    asyncio.run(run())
    assert time.perf_counter() - began < 3


def test_with_uvloop(tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def run() -> None:
        both = [*LOCAL, ip_network("::1/128")]
        answers: dict[str, Answer] = {
            "/": moved("/b"),
            "/b": ok(),
            "/slow": endless(ok(b"a" * 1000)[:-900], b"a", 0.02),
        }
        fetcher = Fetcher(max_bytes=1000, timeout=5, trusted=both)
        hasty = Fetcher(max_bytes=1000, timeout=0.2, trusted=both)
        async with Server(answers).run() as server:
            assert await fetcher.fetch(f"http://localhost:{server.port}/") == BODY
            for path, host in (("/slow", "127.0.0.1"), ("/", "name.invalid"), ("/", "10.0.0.1")):
                with pytest.raises(FetchError) as caught:
                    await hasty.fetch(f"http://{host}:{server.port}{path}")
                assert str(caught.value) == UNREACHABLE
        named = Fetcher(max_bytes=1000, timeout=5, trusted=LOCAL, resolver=Names(**NAMES))
        async with Server(answers).run(tls) as server:
            assert await named.fetch(f"https://images.test:{server.port}/") == BODY
            with pytest.raises(FetchError):
                await named.fetch(f"https://other.test:{server.port}/")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
