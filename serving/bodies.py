"""Request bodies, read within limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from ..engine.errors import YoleanError
from .client_limits import Pace, Take
from .forms import Submission, parse_json, parse_multipart, parse_urlencoded
from .tickets import ClientGone


class BodyTooLarge(YoleanError):
    """The body is larger than the server takes."""


class UnknownBody(YoleanError):
    """The body is of a kind that the server does not take."""


async def read_submission(
    request: Request, limit: int, pace: Pace, take: Take, long_field: str | None = None
) -> Submission:
    """Read and parse the body and the query of a request.

    Args:
        request: its body is not read yet.
        limit: bytes that the body may have.
        pace: how fast it must come.
        take: takes the memory that it needs.
        long_field: the field whose text may be as long as the body: an image in base64.

    Raises:
        BodyTooLarge: it is longer than `limit`; no more than that was read.
        UnknownBody: its Content-Type is none of those that are taken.
        SlowUpload: it came too slowly.
        ServerBusy: there is no memory left for it.
        InputError: it is not what its type says.
        ClientGone: the client left while sending.
    """
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    kind = kind.lower()
    parse = _PARSERS.get(kind.decode("latin-1"))
    is_image = kind.startswith(b"image/") or kind == b"application/octet-stream"
    if parse is None and not is_image:
        found = repr(kind.decode("latin-1")[:60]) if kind else "none"
        raise UnknownBody(
            "expected a Content-Type of multipart/form-data, image/*, application/json or "
            f"application/x-www-form-urlencoded, found {found}"
        )
    body = await read_body(request, limit, pace, take)
    submission = Submission(raw=body) if parse is None else parse(body, options, long_field)
    submission.add(parse_urlencoded(request.scope["query_string"], "the query").fields.items())
    return submission


async def read_body(request: Request, limit: int, pace: Pace, take: Take) -> bytes:
    """Read the body of a request; arguments and errors are those of `read_submission`.

    Raises:
        BodyTooLarge, SlowUpload, ServerBusy, ClientGone: see there.
    """
    complaint = f"the body is larger than the {limit:,} bytes that this server takes"
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLarge(complaint)
    chunks: list[bytes] = []
    size = 0
    try:
        async with pace.keep() as arrived:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise BodyTooLarge(complaint)
                take(len(chunk))
                arrived(len(chunk))
                chunks.append(chunk)
    except ClientDisconnect as exc:
        raise ClientGone("the client left while sending") from exc
    return b"".join(chunks)


_PARSERS: dict[str, Callable[[bytes, Mapping[bytes, bytes], str | None], Submission]] = {
    "multipart/form-data": parse_multipart,
    "application/x-www-form-urlencoded": lambda body, _, long: parse_urlencoded(body, long_field=long),
    "application/json": lambda body, _, long: parse_json(body, long),
}
