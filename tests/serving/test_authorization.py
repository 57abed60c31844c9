"""Who may predict: with keys whoever has one, without keys this machine, unless everyone is let in."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from yolean.engine.errors import InputError
from yolean.serving.auth import Keys
from yolean.serving.authorization import check_key
from yolean.serving.error_responses import NotAllowed

NO_KEYS, ONE_KEY = Keys([]), Keys(["secret"])


def request(key: str | None = None, server: Any = ("127.0.0.1", 8000), *bearers: str) -> Request:
    """A request with a key to a server that listens on this address."""
    headers = [] if key is None else [(b"x-api-key", key.encode())]
    headers += [(b"authorization", bearer.encode()) for bearer in bearers]
    return Request({"type": "http", "headers": headers, "server": server})


def test_with_keys_one_of_them_is_needed_from_everywhere() -> None:
    for server in (("127.0.0.1", 80), ("192.0.2.1", 80), None):
        check_key(request("secret", server), ONE_KEY, no_auth=False)
        for no_auth in (False, True):
            with pytest.raises(NotAllowed, match="x-api-key or Authorization: Bearer is missing"):
                check_key(request(None, server), ONE_KEY, no_auth)
            with pytest.raises(NotAllowed, match="x-api-key is not a key of this server"):
                check_key(request("other", server), ONE_KEY, no_auth)


def test_a_key_may_be_a_bearer_and_two_must_be_the_same() -> None:
    server = "192.0.2.1", 80
    for key, bearers in ((None, ["Bearer secret"]), ("secret", ["bearer secret"]), ("secret", ["Digest x"])):
        check_key(request(key, server, *bearers), ONE_KEY, no_auth=False)
    for key, bearers in (
        (None, ["Bearer a", "Bearer secret"]),
        ("secret", ["Bearer x"]),
        ("x", ["Bearer y"]),
    ):
        with pytest.raises(InputError, match="two keys that differ"):
            check_key(request(key, server, *bearers), ONE_KEY, no_auth=False)
    with pytest.raises(NotAllowed, match="Authorization: Bearer is not a key"):
        check_key(request(None, server, "Bearer other"), ONE_KEY, no_auth=False)


def test_without_keys_this_machine_alone_is_let_in() -> None:
    for server in (("127.0.0.1", 80), ("::1", 80), ("/run/socket", None), None):
        check_key(request(server=server), NO_KEYS, no_auth=False)
    for server in (("0.0.0.0", 80), ("192.0.2.1", 80)):
        with pytest.raises(NotAllowed, match=r"YOLEAN_API_KEYS.*YOLEAN_NO_AUTH"):
            check_key(request(server=server), NO_KEYS, no_auth=False)
        check_key(request(server=server), NO_KEYS, no_auth=True)
