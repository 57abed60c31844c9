"""The endpoints beside predicting, keys, and the manners of HTTP, over real connections."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import onnxruntime
import pytest
import yolean
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.serving.settings import ModelSource, Settings

IMAGES = {image.stem: image for image in demo_images()}
SHAPES = IMAGES["shapes"].read_bytes()
PREDICT = "/v1/predict/shapes"
IMAGE = {"image": SHAPES}
KEY = "a-key-of-the-tests"
ORIGIN = "https://page.example"


@pytest.fixture(scope="module")
def configured(start_local: Callable[[Settings], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with keys, CORS and a low limit of bodies."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(f"# who has them\n{KEY}\n\n  another-key  \n")
    server = start_local(
        Settings(api_keys=keys, cors=(ORIGIN,), max_body=256 * 1024, models=(ModelSource(demo_model()),))
    )
    server.http.headers["x-api-key"] = KEY
    return server


# ---- what it says about itself ----------------------------------------------------------------------------


def test_models(server: Any, engines: Mapping[str, Engine]) -> None:
    found = server.http.get("/v1/models").json()
    assert found["key_required"] is False
    assert [model["id"] for model in found["models"]] == sorted(DEMO_MODELS.values())
    for model in found["models"]:
        assert server.http.get(f"/v1/models/{model['id']}").json() == model
        engine = engines[model["task"]]
        assert model["id"] == DEMO_MODELS[model["task"]]
        assert model["names"] == {str(i): name for i, name in engine.names.items()}
        assert model["imgsz"] == list(engine.spec.imgsz)
        assert (model["dynamic"], model["provider"]) == (True, "CPUExecutionProvider")


def test_the_state_of_the_server(server: Any) -> None:
    assert server.http.get("/livez").json() == {"status": "ok"}
    assert server.http.get("/readyz").json() == {"status": "ok"}
    health = server.http.get("/health").json()
    assert health["status"] == "ok"
    assert health["failures"] == {}
    assert health["versions"]["yolean"] == yolean.__version__
    assert health["versions"]["onnxruntime"] == onnxruntime.__version__
    assert set(health["models"]) == set(DEMO_MODELS.values())
    for model in health["models"].values():
        assert re.fullmatch("[0-9a-f]{64}", model["sha256"])
        assert model["provider"] == "CPUExecutionProvider"
    assert str(demo_model().parent) not in json.dumps(health)


def test_metrics(server: Any) -> None:
    assert server.metric("yolean_models") == len(DEMO_MODELS)
    assert server.metric("yolean_models_failed") == 0
    assert server.http.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


def test_the_page(server: Any) -> None:
    page = server.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert server.http.get("/demo.jpg").content == SHAPES
    assert server.http.get("/demo.jpg?model=shapes-cls").content == IMAGES["star"].read_bytes()
    assert server.http.get("/demo.jpg?model=../../etc/passwd").content == SHAPES


def test_the_page_is_sent_once(server: Any) -> None:
    etag = server.http.get("/").headers["etag"]
    assert re.fullmatch(r'"[\w-]+"', etag)
    for condition, status in (
        (etag, 304),
        (f"W/{etag}", 304),  # a proxy that compresses makes it weak
        (f'"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
    ):
        reply = server.http.get("/", headers={"if-none-match": condition})
        assert (reply.status_code, reply.headers["etag"]) == (status, etag)
        assert bool(reply.content) == (status == 200)


# ---- keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PREDICT, "/?model=shapes", "/v1/models/reload"])
def test_keys(configured: Any, path: str) -> None:
    with configured.client() as http:
        configured.check_refusal(
            http.post(path, files={"file": SHAPES}), 401, "x-api-key", "Bearer", "missing"
        )
        for wrong in ("", "wrong-secret", KEY.upper(), KEY + "x", KEY[:-1], f"{KEY},another-key", "\xe9"):
            reply = http.post(path, files={"file": SHAPES}, headers={"x-api-key": wrong.encode("latin-1")})
            configured.check_refusal(reply, 401, "x-api-key", "not a key")
            assert "www-authenticate" in reply.headers
        for key in (KEY, "another-key"):
            for headers in (
                {"x-api-key": key},
                {"authorization": f"Bearer {key}"},
                {"authorization": f"bearer   {key} "},
                {"authorization": f"Bearer {key}", "x-api-key": key},  # the same twice
                {"authorization": "Basic of-a-proxy", "x-api-key": key},
            ):
                reply = http.post(path, files={"file": SHAPES}, headers=headers)
                assert reply.status_code == 200, reply.text
        for headers in ({"authorization": "Bearer wrong"}, {"authorization": "Bearer"}):
            reply = http.post(path, files={"file": SHAPES}, headers=headers)
            configured.check_refusal(reply, 401, "Bearer is not a key")
            assert "bearer" in reply.headers["www-authenticate"].lower()
        for first, second in ((KEY, "another-key"), (KEY, "wrong"), ("", KEY)):
            headers = {"authorization": f"Bearer {first}", "x-api-key": second}
            reply = http.post(path, files={"file": SHAPES}, headers=headers)
            configured.check_refusal(reply, 400, "two keys", "expected one")
        # What tells about the server needs none.
        for open_to_all in ("/livez", "/readyz", "/health", "/metrics", "/v1/models", "/openapi.json", "/"):
            assert http.get(open_to_all).status_code == 200
        assert http.get("/v1/models").json()["key_required"] is True


def test_a_key_in_another_place_is_not_taken(configured: Any) -> None:
    with configured.client() as http:
        assert http.post(f"{PREDICT}?x-api-key={KEY}", files=IMAGE).status_code == 401
        for value in (KEY, f"Basic {KEY}", f"Token {KEY}", f"Bearer{KEY}"):
            assert http.post(PREDICT, files=IMAGE, headers={"authorization": value}).status_code == 401


def test_the_log_holds_no_secret(configured: Any) -> None:
    with configured.client() as http:
        http.post(f"{PREDICT}?secret=in-the-query", files=IMAGE, headers={"x-api-key": "wrong-secret"})
        http.post(PREDICT, files=IMAGE, headers={"x-api-key": KEY, "cookie": "secret=in-a-cookie"})
        http.get("/the-last-one")
    configured.wait_for_line("the-last-one")
    secrets = KEY, "another-key", "wrong-secret", "in-the-query", "in-a-cookie"
    assert [secret for secret in secrets if secret in configured.log] == []
    line = [line for line in configured.lines if "status=200" in line and PREDICT in line][-1]
    assert re.search(
        r"client='127.0.0.1' method='POST' .* ms=\S+ model='shapes' objects=\d+ .*inference=", line
    )


def test_reload_needs_keys(server: Any, configured: Any) -> None:
    server.check_refusal(server.http.post("/v1/models/reload"), 401, "keys")
    assert configured.http.post("/v1/models/reload").json() == {
        "changed": False, "models": ["shapes"], "failures": {},
    }  # fmt: skip


# ---- manners of HTTP --------------------------------------------------------------------------------------


def test_paths_and_methods_that_there_are_not(server: Any) -> None:
    for status, method, path, words in (
        (404, "GET", "/v1/models/yolov8n", ["'yolov8n'", "shapes, shapes-cls"]),
        (404, "GET", "/v1/predict", ["/v1/predict/MODEL_ID"]),
        (404, "GET", "/admin", ["no such path"]),
        (404, "POST", "/v1/predict/a/b", ["no model is called 'a/b'"]),
        (404, "POST", "/v1/predict/a/b/c/d", ["no such path"]),
        (404, "GET", "//other.example/", ["no such path"]),
        (405, "GET", PREDICT, ["POST"]),
        (405, "PUT", PREDICT, ["POST"]),
        (405, "DELETE", "/v1/models/shapes", ["GET"]),
        (405, "POST", "/livez", ["GET"]),
        (405, "PUT", "/", ["GET", "POST"]),
        (405, "TRACE", "/livez", ["GET"]),
    ):
        server.check_refusal(server.http.request(method, path), status, *words)


def test_head_is_get_without_its_body(server: Any) -> None:
    for path in ("/", "/demo.jpg", "/livez", "/readyz", "/health", "/v1/models", "/v1/models/shapes",
                 "/openapi.json"):  # fmt: skip
        get, head = server.http.get(path), server.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        if path != "/health":  # its uptime has grown
            assert head.headers["content-length"] == str(len(get.content))
    reply = server.http.head(PREDICT)
    assert (reply.status_code, reply.content, reply.headers["allow"]) == (405, b"", "POST")


def test_options_without_cors(server: Any) -> None:
    for path in ("/", PREDICT):
        reply = server.http.options(path, headers={"origin": ORIGIN, "access-control-request-method": "POST"})
        assert "POST" in reply.headers["allow"]
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    reply = server.http.get("/livez", headers={"origin": ORIGIN})
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_cors_lets_one_origin_in(configured: Any) -> None:
    asked = {
        "origin": ORIGIN, "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key, authorization, content-type, x-request-id",
    }  # fmt: skip
    with configured.client() as http:  # a browser asks without the key
        reply = http.options(PREDICT, headers=asked)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert "POST" in reply.headers["access-control-allow-methods"]
        allowed = reply.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in ("x-api-key", "authorization", "content-type", "x-request-id"))
        other = http.options(PREDICT, headers={**asked, "origin": "https://other.example"})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers
    for status, files in ((200, IMAGE), (400, {}), (415, {"image": b"no image"})):
        # errors too: a page could not read them otherwise
        reply = configured.http.post(PREDICT, files=files, data={"iou": 0.5}, headers={"origin": ORIGIN})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert "server-timing" in reply.headers["access-control-expose-headers"].lower()
        assert "retry-after" in reply.headers["access-control-expose-headers"].lower()
    reply = configured.http.get("/livez", headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in reply.headers


def test_request_ids(server: Any) -> None:
    for given, kept in (
        ("abc-123", True),
        ("Root=1-67891233-abcdef012345678912345678", True),  # as a load balancer of Amazon makes it
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ('"quoted"', False),
        ("a;b", False),
        ("", False),
    ):
        paths = "/livez", "/nothing", "/v1/predict/a"
        found = {
            server.http.get(path, headers={"x-request-id": given}).headers["x-request-id"] for path in paths
        }
        assert found == {given} if kept else len(found) == 3
        assert all(re.fullmatch(r"[\w.:=+/-]{1,128}", each) for each in found)
        if kept:
            server.wait_for_line(f"id='{re.escape(given)}'.* path='/nothing' status=404")


def read_reply(file: Any) -> tuple[int, dict[str, str], bytes]:
    """One answer from a connection: status, headers in lower case, body."""
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, file.read(int(headers.get("content-length", 0)))


def post(path: str, body: bytes, *headers: str) -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Content-Type: image/jpeg",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def test_one_connection_serves_many_requests(server: Any) -> None:
    with server.connect() as connection, connection.makefile("rb") as file:
        for number in range(5):
            connection.sendall(post(PREDICT, SHAPES if number % 2 else b"no image"))
            assert read_reply(file)[0] == (200 if number % 2 else 415)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        status, headers, _ = read_reply(file)
        assert (status, headers["connection"]) == (200, "close")
        assert file.read() == b""


def test_pipelined_requests_are_answered_in_turn(server: Any) -> None:
    with server.connect() as connection, connection.makefile("rb") as file:
        models = ["shapes-cls", "shapes-seg", "nothing", "shapes", "shapes-cls"]
        connection.sendall(b"".join(post(f"/v1/predict/{model}?conf=0.5", SHAPES) for model in models))
        for model in models:
            status, _, body = read_reply(file)
            assert status == (404 if model == "nothing" else 200)
            assert model in body.decode()


def test_http_1_0(server: Any) -> None:
    with server.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        status, _, body = read_reply(file)
        assert (status, body, file.read()) == (200, b'{"status":"ok"}', b"")


def test_a_client_that_asks_before_it_sends(configured: Any) -> None:
    head = f"x-api-key: {KEY}", "Expect: 100-continue"
    request = post(PREDICT, SHAPES, *head)
    with configured.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(request[: -len(SHAPES)])
        assert read_reply(file)[0] == 100
        connection.sendall(SHAPES)
        assert read_reply(file)[0] == 200
    for status, request in (
        (413, post(PREDICT, b"\0" * 300_000, *head)),
        (401, post(PREDICT, SHAPES, "Expect: 100-continue")),
        (404, post("/v1/predict/nothing", SHAPES, *head)),
    ):  # refused before a byte of the body is sent
        with configured.connect() as connection, connection.makefile("rb") as file:
            connection.sendall(request[: request.index(b"\r\n\r\n") + 4])
            assert read_reply(file)[0] == status


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["before", "amid", "after"])
def test_a_client_that_leaves_harms_no_other(
    server: Any, wait_until: Callable[..., Any], share: float
) -> None:
    before, lines = server.metric("yolean_clients_left_total"), len(server.lines)
    for _ in range(5):
        with server.connect() as connection:
            request = post(f"{PREDICT}?imgsz=1280", SHAPES)
            head = len(request) - len(SHAPES)
            connection.sendall(request[: head + int(share * len(SHAPES))])
    assert server.http.post(PREDICT, files=IMAGE).status_code == 200
    wait_until(lambda: server.http.get("/health").json()["queue"]["inside"] == 0, "an empty server")
    if share == 1.0:
        assert server.metric("yolean_clients_left_total") > before
    accidents = [line for line in server.lines[lines:] if "error" in line or "warning" in line]
    assert not accidents


def test_a_slow_client_holds_up_nobody(server: Any) -> None:
    request = post(PREDICT, SHAPES)
    with server.connect() as slow, slow.makefile("rb") as file:
        slow.sendall(request[:-1])
        for _ in range(5):
            assert server.http.post(PREDICT, files=IMAGE).status_code == 200
        slow.sendall(request[-1:])
        assert read_reply(file)[0] == 200


def test_a_refusal_that_needs_no_body_does_not_break_an_upload(configured: Any) -> None:
    with configured.client() as http:
        for _ in range(3):  # on one connection
            reply = http.post(
                "/v1/predict/shapes", data=b"\0" * 200_000, headers={"content-type": "image/png"}
            )
            configured.check_refusal(reply, 401, "x-api-key")
