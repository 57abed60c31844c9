"""Whether a request may predict."""

from __future__ import annotations

from starlette.requests import Request

from ..engine.errors import InputError
from .auth import Keys, is_loopback
from .error_responses import NotAllowed


def check_key(request: Request, keys: Keys, no_auth: bool) -> None:
    """Check the key of a request: in its header `x-api-key`, or in `Authorization` as `Bearer KEY`.

    A server without keys answers requests to its own machine only, unless `no_auth` lets everyone in.

    Raises:
        InputError: there are two keys, and they differ.
        NotAllowed: the key is missing or wrong, or the server has none and listens beyond this machine.
    """
    if keys:
        header, given = _given(request)
        if not keys.accept(given):
            raise NotAllowed(
                f"the header {header} is {'missing' if given is None else 'not a key of this server'}"
            )
    elif not no_auth:
        # `yolean serve` does not start like this; another ASGI server cannot know.
        server = request.scope.get("server")
        if server and server[1] is not None and not is_loopback(server[0]):
            raise NotAllowed(
                "this server has no keys and answers its own machine only: give it YOLEAN_API_KEYS, or "
                "YOLEAN_NO_AUTH=1 to let everyone in"
            )


def _given(request: Request) -> tuple[str, str | None]:
    """The header, or headers, that a key is expected in, and the key; None if there is none."""
    found = [("x-api-key", key) for key in request.headers.getlist("x-api-key")]
    for value in request.headers.getlist("authorization"):
        scheme, _, key = value.strip().partition(" ")
        if scheme.lower() == "bearer":  # another one is between the client and a proxy
            found.append(("Authorization: Bearer", key.strip()))
    if not found:
        return "x-api-key or Authorization: Bearer", None
    if len({key for _, key in found}) > 1:
        raise InputError("two keys that differ are in x-api-key and Authorization: expected one key")
    return found[0]
