"""Malformed requests against one server: each gets an answer that is not a 500, and none harms it.

Some run by default, the ten thousand with `pytest -m slow -s tests/serving/test_fuzz.py`.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import http.client
import io
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from yolean.engine.images.decoding import image_from_bytes
from yolean.models import demo_images, demo_model
from yolean.serving.settings import Settings

KEY = "a-key-of-the-tests"
SHAPES = demo_images()[0].read_bytes()
MAX_SECONDS = 10.0
MAX_MEGABYTES = 1500

# What the contract knows; the redirect is of paths that end in a slash.
ALLOWED = {200, 304, 307, 400, 401, 404, 405, 413, 415, 422}


# ---- the server, and what is counted of it ----------------------------------------------------------------


class Victim:
    """One server, a connection that is kept, and what was answered.

    Attributes:
        statuses: how often each was answered, by the kind of request; None where no answer is due.
    """

    def __init__(self, server: Any) -> None:
        self.server = server
        self.statuses: dict[str, Counter[int | None]] = {}
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=MAX_SECONDS)

    def request(
        self, kind: str, method: str, path: str, body: bytes | None = None, **headers: str | bytes
    ) -> int:
        """One request that is sound HTTP; checks the answer and returns its status."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = self._connection
        try:
            connection.request(method, path, body, {"x-api-key": KEY, **names})
            reply = connection.getresponse()
            answer = reply.read()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            pytest.fail(f"{kind}: no answer ({exc!r}); the server runs: {self.server.is_running}")
        self.count(kind, reply.status)
        assert reply.status in ALLOWED, (reply.status, answer, method, path, headers, body)
        if method != "HEAD" and reply.status >= 400:
            found = json.loads(answer)
            is_inference = path.startswith("/v2")
            assert found.keys() == {"error"} if is_inference else found["success"] is False
            message = found["error" if is_inference else "message"]
            assert message.isprintable()
            assert len(message) < 1000
        return reply.status

    def send(self, kind: str, data: bytes) -> None:
        """Bytes on a connection of their own, and no more: the server answers, or hangs up."""
        with self.server.connect() as connection:
            connection.settimeout(MAX_SECONDS)
            with contextlib.suppress(ConnectionError):  # it may hang up in the middle
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while part := connection.recv(65536):
                    answer += part
            except ConnectionError:
                pass
            except TimeoutError:
                pytest.fail(f"the server waits for more than {data!r}")
        found = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.MULTILINE)]
        assert set(found) <= ALLOWED | {100}, (data, answer)
        self.count(kind, found[0] if found else None)

    def count(self, kind: str, status: int | None, number: int = 1) -> None:
        self.statuses.setdefault(kind, Counter())[status] += number

    @property
    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.statuses.values())

    def close(self) -> None:
        self._connection.close()

    def assert_well(self, wanted: bytes) -> None:
        """It lives, answers as it did before, and has nothing to complain about."""
        assert self.server.is_running
        assert self.server.http.get("/livez").status_code == 200
        assert self.server.http.get("/health").json()["queue"]["inside"] == 0
        assert predict(self.server) == wanted
        accidents = [line for line in self.server.lines if " failed" in line or "Traceback" in line]
        assert accidents == []
        assert not re.search(r"\bstatus=5(?!03)", self.server.log)
        process = getattr(self.server, "process", None)
        if process is not None and sys.platform.startswith("linux"):
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) < MAX_MEGABYTES * 1024

    def report(self) -> str:
        lines = [f"{self.total} requests"]
        for kind, counts in self.statuses.items():
            shown = ", ".join(f"{status or 'hung up'} {n}" for status, n in sorted(counts.items(), key=str))
            lines.append(f"  {kind}: {sum(counts.values())}: {shown}")
        return "\n".join(lines)


def predict(server: Any) -> bytes:
    reply = server.http.post("/v1/predict/shapes", files={"image": SHAPES})
    content: bytes = reply.content
    return content


@contextlib.contextmanager
def tried(server: Any) -> Iterator[Victim]:
    """A server to which anything may be done in the context; it must be well after it."""
    server.http.headers["x-api-key"] = KEY
    wanted, victim = predict(server), Victim(server)
    yield victim
    victim.close()
    victim.assert_well(wanted)


@pytest.fixture(scope="module")
def victim(
    start_local: Callable[[Settings], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Victim]:
    """A server in this process."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(KEY)
    limits = Settings(api_keys=keys, max_body=2**20, max_pixels=2_000_000, max_queue=8)
    with tried(start_local(limits)) as found:
        yield found


@pytest.fixture
def victim_process(start_server: Callable[..., Any]) -> Iterator[Victim]:
    """A server in a process of its own, whose memory is measured."""
    options = "--max-body", "1M", "--max-pixels", "2M", "--max-queue", 8
    with tried(start_server(*options, env={"YOLEAN_API_KEY": KEY})) as found:
        yield found


# ---- a: bodies and types ----------------------------------------------------------------------------------

SMALL = cv2.imencode(".jpg", cv2.resize(image_from_bytes(SHAPES), (48, 40)))[1].tobytes()

NAMES = [
    *("image", "url", "size", "confidence", "iou", "file", "source", "imgsz", "conf", "model", ""),
    *("Image", "iou ", "é", "\x00", "a" * 100, "__proto__", 'im"age', "size[]", "\ud800"),
]  # fmt: skip
VALUES = [
    *("320", "0.5", "0.25", "", "nan", "-1", "1e308", "1e999", "true", "null", "[]", "{}", "shapes", "'"),
    *("0" * 400 + "1", "9" * 400, "٣", "0x20", "\x00", "\r\n", "http://127.0.0.1/", "http://[::1", "//"),
    *("http://[::1]:99999999/shapes", "file:///etc/passwd", "\ud800", "http://a\\b@c/shapes", "é" * 300),
]  # fmt: skip
TYPES = [
    *("multipart/form-data; boundary=b", 'multipart/form-data; boundary="b"', "multipart/form-data"),
    *("multipart/form-data; boundary=", "Multipart/Form-Data;BOUNDARY=b", "multipart/form-data; boundary=ÿ"),
    *("multipart/form-data; boundary=" + "b" * 300, "multipart/form-data; boundary=b; boundary=c", ";", "a"),
    *("multipart/form-data; boundary*=utf-8''b", 'multipart/form-data; boundary="b', "multipart/mixed"),
    *("application/json", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "image/"),
    *("image/jpeg", "image/*", "IMAGE/x-anything", "application/octet-stream", "text/plain", "", "\xff/\xff"),
]  # fmt: skip
PATHS = ["/v1/predict/shapes", "/v1/predict/shapes-cls", "/", "/v1/predict/nothing", "/v1/models/reload"]

text = st.sampled_from(VALUES) | st.text(max_size=20)
data = st.sampled_from([b"", SMALL, SMALL[:100], b"\x00", b"--b", b"\r\n--b--\r\n"]) | st.binary(max_size=60)


def to_bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


HEADERS = [
    'Content-Disposition: form-data; name="{}"{}',
    "content-disposition:form-data;name={}{}",
    "Content-Disposition: form-data; name*=utf-8''{}{}",
    'Content-Disposition: attachment; name="{}"{}',
    'Content-Disposition: form-data; name="{}"; name="iou"{}',
    'X-Other: 1\r\nContent-Disposition: form-data; name="{}"{}\r\nContent-Length: 5',
    'Content-Disposition: form-data; name="{}"{}\r\nContent-Transfer-Encoding: base64',
    "{}{}",
]
FILES = [
    *('; filename="a.jpg"', '; filename="../../etc/passwd"', "; filename=", '; filename="'),
    "; filename*=utf-8''a.jpg",
]


@st.composite
def multiparts(draw: st.DrawFn) -> bytes:
    """A form of a few parts, of which some are no parts."""
    body = b""
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(NAMES))
        is_file = draw(st.booleans())
        header = draw(st.sampled_from(HEADERS)).format(name, draw(st.sampled_from(FILES)) if is_file else "")
        content = draw(data) if is_file else to_bytes(draw(text))
        body += b"--b\r\n" + to_bytes(header) + b"\r\n\r\n" + content + b"\r\n"
    return body + draw(st.sampled_from([b"--b--\r\n", b"--b--", b"--b", b"", b"--b--\r\n--b\r\n\r\n"]))


plain = st.none() | st.booleans() | st.integers() | st.floats() | text
objects = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=5), plain | st.lists(plain, max_size=2), max_size=4
)
jsons = objects.map(lambda value: json.dumps(value).encode()) | st.sampled_from([
    b"[" * 5000, b'{"a":' * 5000, b'{"url":"\\ud800"}', b'{"size":' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}",
    b'{"iou":NaN}', "{}".encode("utf-16"), b'{"url":1,"url":2}', b"\xff", b"", b"null",
])  # fmt: skip
forms = st.lists(st.tuples(st.sampled_from(NAMES), text), max_size=4).map(
    lambda pairs: b"&".join(to_bytes(name) + b"=" + to_bytes(value) for name, value in pairs)
) | st.sampled_from([b"&" * 5000, b"=" * 50, b"a&b&c", b"%", b"%zz=%ff", b"a=1&" * 2000])
bodies = multiparts() | jsons | forms | data


@st.composite
def edited(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some were taken out, doubled or overwritten."""
    found = draw(whole)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 3]))):
        start = draw(st.integers(0, len(found)))
        end = min(len(found), start + draw(st.integers(0, 40)))
        inserted = draw(st.sampled_from([b"", found[start:end] * 2, b"\x00", b"\r\n", b"--b", b'"', b"\xff"]))
        found = found[:start] + inserted + found[end:]
    return found


queries = st.lists(
    st.tuples(st.sampled_from(["size", "conf", "iou", "url", "model", "x", "", "%ff", "%00", "a%0ab"]),
              st.sampled_from(["320", "0.5", "", "nan", "%ff", "%ed%a0%80", "shapes", "http://[::1", "%"])),
    max_size=3,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))  # fmt: skip


def generated(number: int, randomly: bool) -> settings:
    """So many examples, which are not kept or made smaller."""
    return settings(
        max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate], derandomize=not randomly,
    )  # fmt: skip


def send_bodies(victim: Victim, number: int, randomly: bool) -> None:
    """Forms, JSON and whatever else, under types that may be others."""

    @generated(number, randomly)
    @given(edited(bodies), st.sampled_from(TYPES), st.sampled_from(PATHS), queries)
    def send(body: bytes, kind: str, path: str, query: str) -> None:
        path = f"{path}?{query}" if query else path
        victim.request("bodies", "POST", path, body, content_type=kind.encode("latin-1"))

    send()


# ---- b: images ------------------------------------------------------------------------------------------


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sound_images() -> list[bytes]:
    """Small images of all formats, in the variants that take other ways through their decoders."""
    pixels = cv2.resize(image_from_bytes(SHAPES), (64, 48))
    image = Image.fromarray(pixels[..., ::-1])
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    found = [
        saved(image, "JPEG", exif=exif), saved(image, "JPEG", progressive=True, quality=95),
        saved(image.convert("CMYK"), "JPEG"), saved(image.convert("L"), "JPEG", icc_profile=b"\x00" * 200),
        saved(image, "PNG", exif=exif), saved(image.convert("P"), "PNG"), saved(image.convert("1"), "PNG"),
        saved(image.convert("RGBA"), "PNG"), saved(image, "PNG", save_all=True, append_images=[image]),
        saved(image, "WEBP", exif=exif), saved(image, "WEBP", lossless=True),
        saved(image.convert("RGBA"), "WEBP"), saved(image, "WEBP", save_all=True, append_images=[image]),
        saved(image, "BMP"), saved(image.convert("P"), "BMP"), saved(image.convert("1"), "BMP"),
        saved(image.convert("RGBA"), "BMP"), saved(image.convert("L"), "TIFF"),
        saved(image, "TIFF", exif=exif), saved(image, "TIFF", save_all=True, append_images=[image]),
        *[saved(image, "TIFF", compression=each) for each in ("tiff_lzw", "tiff_adobe_deflate", "packbits")],
        saved(image, "AVIF", exif=exif), saved(image.convert("RGBA"), "AVIF"),
    ]  # fmt: skip
    deep = (pixels.astype(np.uint16) << 8) + 7
    for sound, suffix in (
        (deep, ".png"),
        (deep, ".tiff"),
        (pixels, ".jp2"),
        (pixels, ".ppm"),
        (pixels, ".avif"),
    ):
        done, data = cv2.imencode(suffix, sound)
        assert done
        found.append(data.tobytes())
    return found


EXTREMES = [
    *(b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\xff\xff", b"\x00\x00\x00\x00", b"\x00\x00\xff\xff"),
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"),
]


def damaged(images: list[bytes], chance: random.Random) -> bytes:
    """One of the images, cut off, overwritten, or put together with another."""
    found = chance.choice(images)
    way = chance.random()
    if way < 0.15:
        return found[: chance.randrange(len(found))]
    if way < 0.25:
        other = chance.choice(images)
        return found[: chance.randrange(len(found))] + other[chance.randrange(len(other)) :]
    changed = bytearray(found)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        # Most of what can go wrong is in the first bytes.
        at = chance.randrange(min(len(changed), chance.choice((64, 256, len(changed)))))
        if chance.random() < 0.5:
            changed[at] = chance.randrange(256)
        elif chance.random() < 0.5:
            extreme = chance.choice(EXTREMES)
            changed[at : at + len(extreme)] = extreme
        else:
            end = at + chance.randrange(1, 40)
            changed[at:end] = changed[at:end] * chance.choice((0, 2))
        changed = changed or bytearray(b"\x00")
    return bytes(changed)


MODELS = ["shapes-cls", "shapes-cls", "shapes?imgsz=32", "shapes-seg?size=32&confidence=0.01"]


def send_images(victim: Victim, number: int, seed: int) -> None:
    chance, images = random.Random(seed), sound_images()
    sound = Counter(
        victim.request("images", "POST", "/v1/predict/shapes-cls", data, content_type="image/x")
        for data in images
    )
    assert sound[200] == len(images) - 3  # not animated PNG, JPEG 2000 and PNM
    for _ in range(number - len(images)):
        model = chance.choice(
            ("shapes-cls", "shapes-cls", "shapes?imgsz=32", "shapes-seg?size=32&confidence=0.01")
        )
        data, started = damaged(images, chance), time.monotonic()
        status = victim.request("images", "POST", f"/v1/predict/{model}", data, content_type="image/x")
        assert status in (200, 400, 415), data
        assert time.monotonic() - started < MAX_SECONDS / 2, data


# ---- c: what the description of the server promises -------------------------------------------------------


def run_schemathesis(victim: Victim, folder: Path, examples: int) -> None:
    """Requests that schemathesis makes of /openapi.json, and its checks of the answers."""
    document = victim.server.http.get("/openapi.json").json()
    known = ["shapes", "shapes-cls", "shapes-pose", "nothing", "reload"]
    paths = [
        path
        for path in document["paths"]
        if path.startswith(("/v1/predict/{", "/v1/models/{", "/v2/models/{"))
    ]
    for path in paths:  # or nearly all would be 404
        document["paths"][path]["parameters"][0]["schema"] = {"enum": known}
    (folder / "openapi.json").write_text(json.dumps(document))
    before = len(victim.server.lines)
    start = "from schemathesis.cli import schemathesis; schemathesis()"
    options = [
        "run", "openapi.json", "--url", victim.server.url, "-H", f"x-api-key: {KEY}",
        "--max-examples", str(examples), "--continue-on-failure", "--no-color",
        *(("--seed", "1") if "CI" in os.environ else ()),  # the gate draws the same ones each time
        # Bytes that are a string of format "binary" need not be an image.
        "--exclude-checks", "positive_data_acceptance",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", start, *options], capture_output=True, text=True, timeout=300, cwd=folder
    )
    victim.server.http.get("/that-was-schemathesis")
    victim.server.wait_for_line("that-was-schemathesis")
    for line in victim.server.lines[before:]:
        for status in re.findall(r" status=(\d+) ", line):
            victim.count("schemathesis", int(status))
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


# ---- d: no HTTP at all ------------------------------------------------------------------------------------


def sound_requests() -> list[bytes]:
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    form = part + SMALL + b"\r\n--b--\r\n"
    chunked = b"%x\r\n" % len(SMALL) + SMALL + b"\r\n0\r\n\r\n"

    def post(headers: str, body: bytes) -> bytes:
        lines = ["POST /v1/predict/shapes-cls HTTP/1.1", "Host: x", f"x-api-key: {KEY}", headers, "", ""]
        return "\r\n".join(lines).encode() + body

    return [
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" * 3,
        post(f"Content-Type: image/jpeg\r\nContent-Length: {len(SMALL)}", SMALL),
        post("Content-Type: image/jpeg\r\nTransfer-Encoding: chunked", chunked),
        post(f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(form)}", form),
        post(f"Content-Type: image/jpeg\r\nExpect: 100-continue\r\nContent-Length: {len(SMALL)}", SMALL),
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    ]


PIECES = [
    *(
        b"\r\n",
        b"\n",
        b"\x00",
        b" ",
        b":",
        b"\xff",
        b"HTTP/9.9",
        b"%",
        b"\r\n\r\n",
        b"/../" * 50,
        b"a" * 10_000,
    ),
    *(b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"A: b\r\n" * 500),
    *(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b"\x16\x03\x01"),
    *(b"x-request-id: \x00\r\n", b"Expect: 200-ok\r\n", b"f" * 16 + b"\r\n", b"OPTIONS * HTTP/1.1\r\n"),
]


def send_garbage(victim: Victim, number: int, seed: int) -> None:
    chance, requests = random.Random(seed), sound_requests()
    for sound in requests[:7]:
        victim.send("garbage", sound)
    for _ in range(number - 7):
        way, request = chance.random(), bytearray(chance.choice(requests))
        if way < 0.1:
            victim.send("garbage", chance.randbytes(chance.randrange(200)))
        elif way < 0.35:
            victim.send("garbage", bytes(request[: chance.randrange(len(request))]))
        else:
            for _ in range(chance.choice((1, 1, 2, 5))):
                at = chance.randrange(min(len(request), 300))
                piece = chance.choice(PIECES) if chance.random() < 0.6 else chance.randbytes(1)
                request[at : at + chance.choice((0, 1, 10))] = piece
            victim.send("garbage", bytes(request))


# ---- Ultralytics Platform's dialect -----------------------------------------------------------------------

ENCODED = base64.b64encode(SMALL).decode()
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(40)
SOURCES = [
    *(
        ENCODED,
        ENCODED[:-7],
        ENCODED + "=",
        f"data:image/jpeg;base64,{ENCODED}",
        ENCODED.replace("+", " "),
        "!",
    ),
    *(
        "data:text/html;base64,AAAA",
        "data:image/png,AAAA",
        "data:,",
        "data:",
        "A" * 30_000,
        "%" * 20_000,
        "AA\nA",
    ),
    *("data:image/jpeg;base64," + "=" * 99, base64.b64encode(MP4).decode(), "é" * 20_000, "[" * 17_000),
    *("http://127.0.0.1/a.jpg", "https://[::1", "file:///etc/passwd", "http://" + "a" * 3000, "//", ""),
]
ODD_VALUES: dict[str, list[str]] = {
    "conf": ["0.5", "0", "1.01", "nan"],
    "iou": ["0.7", "0.96", "-1", "1e999"],
    "imgsz": ["64", "31", "1281", "64.5"],
    "normalize": ["true", "maybe", "2", ""],
    "decimals": ["3", "99", "-1", "1.5"],
    "vid_stride": ["1", "0", "10001", "x"],
    "bits": ["8", "9", "16.0", "eight"],
    "tile": ["32", "640", "31", "64.5"],
    "overlap": ["0.5", "1", "nan"],
    "source": SOURCES,
    "file": ["", "x", ENCODED],
    "confidence": ["0.5"],  # of other dialects
    "model": ["shapes"],
    "x" * 70: ["1"],
}
PLATFORM_FILES = [
    SMALL,
    SMALL[:90],
    MP4,
    b"GIF89a" + bytes(30),
    b"RIFF\x00\x00\x00\x00AVI LIST",
    b"",
    b"\x00" * 50,
]
PLATFORM_PATHS = [
    "/api/models/shapes/predict", "/api/models/a/b/shapes/predict", "/api/models/a%2Fb%2Fshapes/predict",
    "/api/deployments/a/shapes-cls/predict", "/predict", "/api/models/a/b/none/predict",
    "/api/models//predict", "/api/models/%ff/predict", "/api/deployments/shapes/predict", "/predict/",
]  # fmt: skip
platform_fields = st.lists(
    st.sampled_from(sorted(ODD_VALUES)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(ODD_VALUES[name]) | text)
    ),
    max_size=4,
)


@st.composite
def platform_bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A body with fields of the dialect, most of them wrong, and its type."""
    fields = draw(platform_fields)
    kind = draw(st.sampled_from(["multipart", "urlencoded", "json", "image"]))
    if kind == "json":
        values = {name: draw(st.sampled_from([value, 5, None, True, [value]])) for name, value in fields}
        return "application/json", json.dumps(values).encode()
    if kind == "urlencoded":
        safe = draw(st.sampled_from(["", "+/=%"]))  # and as those write it who escape nothing
        pairs = [f"{quote(to_bytes(n), safe='')}={quote(to_bytes(v), safe=safe)}" for n, v in fields]
        return "application/x-www-form-urlencoded", "&".join(pairs).encode()
    content = draw(st.sampled_from(PLATFORM_FILES))
    if kind == "image":
        return "image/jpeg", content
    parts = [(name, "", to_bytes(value)) for name, value in fields]
    if draw(st.booleans()):
        parts.append(
            (draw(st.sampled_from(["file", "file", "image", "source"])), '; filename="a.mp4"', content)
        )
    body = b"".join(
        to_bytes(f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n') + value + b"\r\n"
        for name, more, value in parts
    )
    return "multipart/form-data; boundary=b", body + b"--b--\r\n"


def send_platform(victim: Victim, number: int, randomly: bool) -> None:
    """Requests of Ultralytics Platform with something wrong in most."""

    @generated(number, randomly)
    @given(
        platform_bodies(), st.sampled_from(PLATFORM_PATHS[:5] * 8 + PLATFORM_PATHS),
        st.sampled_from(["", "", "normalize=maybe", "bits=9&bits=8", "conf=0.5", "source=AAAA"]),
        st.sampled_from([f"Bearer {KEY}"] * 12 + ["Bearer other", "Basic x", "Bearer"]),
    )  # fmt: skip
    def send(body: tuple[str, bytes], path: str, query: str, key: str) -> None:
        path = f"{path}?{query}" if query else path
        victim.request("platform", "POST", path, body[1], content_type=body[0], authorization=key)

    send()


# ---- the Open Inference Protocol --------------------------------------------------------------------------

ODD: list[Any] = [
    *(None, True, 0, 1, -1, 3, 64, 2**31, 2**63, 2**70, 0.5, 1e308, "", "0.5", "a", "\x00", "é" * 30, [], {}),
    *("boxes", "encoded_images", "images", "BYTES", "FP32", ENCODED, ENCODED[:-7], [ENCODED, ENCODED]),
    *([[]], [1], [1, 1], [2], [0], [1, 3, 2, 2], [1, 3, 32, 32], [[ENCODED]], [0.5] * 12, [[1, 2], 3]),
    *(f"data:image/jpeg;base64,{ENCODED}", [f"data:image/jpeg;base64,{ENCODED}"], {"name": "scores"}),
]  # fmt: skip
INFERENCE_PATHS = [
    "/v2/models/shapes/infer", "/v2/models/shapes-cls/infer", "/v2/models/shapes/versions/1/infer",
    "/v2/models/shapes/versions/%ff/infer", "/v2/models/none/infer", "/v2/models//infer", "/v2/models/shapes",
    "/v2/infer", "/v2/models/a%2Fb%2Fc%2Fd/infer",
]  # fmt: skip
NAMED = [
    *("name", "shape", "datatype", "data", "parameters", "inputs", "outputs", "id", "binary_data_size"),
    *("conf", "classes", "binary_data", "binary_data_output", "timeout", "max_det", "model_name", "other"),
]
odd = st.sampled_from(ODD) | st.dictionaries(st.sampled_from(NAMED), st.sampled_from(ODD), max_size=3)


@st.composite
def inferences(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A body with something wrong in most, and the header with the length of its JSON."""
    tensor = np.full((1, 3, 32, 32), 0.5, np.float32)
    tail = len(SMALL).to_bytes(4, "little") + SMALL
    given: dict[str, Any] = {"name": "encoded_images", "shape": [1], "datatype": "BYTES", "data": [ENCODED]}
    kind = draw(st.sampled_from(["json", "binary", "tensor"]))
    if kind == "tensor":
        given, tail = {"name": "images", "shape": [1, 3, 32, 32], "datatype": "FP32"}, tensor.tobytes()
    if kind != "json":
        given.pop("data", None)
        given["parameters"] = {"binary_data_size": len(tail)}
    whole: dict[str, Any] = {"inputs": [given], "parameters": {"binary_data_output": draw(st.booleans())}}
    for _ in range(draw(st.integers(0, 2))):
        target = draw(st.sampled_from([whole, given, whole["parameters"]]))
        if isinstance(target, dict):
            target[draw(st.sampled_from(NAMED))] = copy.deepcopy(draw(odd))
    head = draw(edited(st.just(json.dumps(whole).encode())))
    tail = b"" if kind == "json" else draw(edited(st.just(tail)))
    length = str(len(head) + draw(st.sampled_from([0, 0, 0, 0, 1, -1, 10**9])))
    length = draw(st.sampled_from([length] * 8 + ["", "-1", "1e3", "9" * 40]))
    return head + tail, {} if kind == "json" and draw(st.booleans()) else {
        "Inference-Header-Content-Length": length
    }


def send_inferences(victim: Victim, number: int, randomly: bool) -> None:
    """Requests of the Open Inference Protocol with something wrong in most."""

    @generated(number, randomly)
    @given(
        inferences(), st.sampled_from(INFERENCE_PATHS[:3] * 8 + INFERENCE_PATHS),
        st.sampled_from(["application/json", "application/octet-stream", "", "text/plain"]),
    )  # fmt: skip
    def send(request: tuple[bytes, dict[str, str]], path: str, kind: str) -> None:
        victim.request("inference", "POST", path, request[0], content_type=kind, **request[1])

    send()


# ---- the tests --------------------------------------------------------------------------------------------


def test_some_malformed_bodies(victim: Victim) -> None:
    send_bodies(victim, 25, randomly=False)


def test_some_damaged_images(victim: Victim) -> None:
    send_images(victim, 100, seed=1)


def test_some_garbage(victim: Victim) -> None:
    send_garbage(victim, 50, seed=1)


def test_some_malformed_requests_of_platform(victim: Victim) -> None:
    send_platform(victim, 25, randomly=False)


def test_some_malformed_inferences(victim: Victim) -> None:
    send_inferences(victim, 60, randomly=False)
    assert {200, 400, 404} <= victim.statuses["inference"].keys()


@pytest.mark.slow
@pytest.mark.parametrize("send", [send_platform, send_inferences])
def test_two_thousand_malformed_requests_of_a_dialect(
    start_server: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    send: Callable[[Victim, int, bool], None],
) -> None:
    """They leave nothing on the disk and no thread at work."""
    (tmp_path / "temporary").mkdir()
    models = "--models", demo_model(), "--models", demo_model("classify")
    limits = "--max-body", "64K", "--max-pixels", "2M", "--max-queue", 8, "--keep-alive", 600
    server = start_server(
        *models, *limits, env={"YOLEAN_API_KEY": KEY, "TMPDIR": str(tmp_path / "temporary")}
    )
    with tried(server) as victim:
        threads, files = threads_of(server), sorted(tmp_path.rglob("*"))  # ONNX Runtime leaves one of its own
        send(victim, 2000, True)
        with capsys.disabled():
            print(f"\n{victim.report()}")
        assert victim.total >= 2000
        assert sorted(tmp_path.rglob("*")) == files
        assert threads_of(server) <= threads + MAX_POOL


MAX_POOL = 32
"""Threads that `asyncio.to_thread` keeps at most."""


def threads_of(server: Any) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))


@pytest.mark.slow
def test_ten_thousand_malformed_requests(
    victim_process: Victim, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = victim_process
    seed, started = random.randrange(2**32), time.monotonic()
    wanted = predict(victim.server)
    parts: list[Callable[[], None]] = [
        lambda: send_bodies(victim, 5000, randomly=True),
        lambda: send_images(victim, 6000, seed),
        lambda: run_schemathesis(victim, tmp_path, examples=80),
        lambda: send_garbage(victim, 3000, seed),
    ]
    try:
        for part in parts:
            part()
            victim.assert_well(wanted)
    finally:
        with capsys.disabled():
            print(f"\nseed {seed}, {time.monotonic() - started:.0f} s, {victim.report()}")
    assert victim.total >= 10_000
