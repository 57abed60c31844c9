"""Whether a request may predict."""

from __future__ import annotations

from starlette.requests import Request

from .auth import Keys, is_loopback
from .error_responses import NotAllowed


def check_key(request: Request, keys: Keys, no_auth: bool) -> None:
    """Check the key of a request, in its header `x-api-key`.

    A server without keys answers requests to its own machine only, unless `no_auth` lets everyone in.

    Raises:
        NotAllowed: the key is missing or wrong, or the server has none and listens beyond this machine.
    """
    if keys:
        given = request.headers.get("x-api-key")
        if not keys.accept(given):
            raise NotAllowed(
                f"the header x-api-key is {'missing' if given is None else 'not a key of this server'}"
            )
    elif not no_auth:
        # `yolean serve` does not start like this; another ASGI server cannot know.
        server = request.scope.get("server")
        if server and server[1] is not None and not is_loopback(server[0]):
            raise NotAllowed(
                "this server has no keys and answers its own machine only: give it YOLEAN_API_KEYS, or "
                "YOLEAN_NO_AUTH=1 to let everyone in"
            )
