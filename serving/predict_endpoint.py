"""A prediction request, from its head to its answer: key, body, arguments, image, run, response."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from time import perf_counter

from starlette.requests import Request
from starlette.responses import Response

from ..engine.errors import InputError
from ..engine.images.decoding import IMAGE_SUFFIXES
from ..engine.results.results import Results
from .app_state import AppState
from .bodies import read_submission
from .dialects.accepted import check_task, read_arguments
from .dialects.dialect import Arguments, Dialect, VideoAnswer, shown
from .encoded_images import image_from_text
from .fetch.fetcher import FetchError
from .forms import Submission
from .image_guard.headers import FORMATS, NotAnImage
from .model_lookup import by_name
from .model_registry import LoadedModel
from .prediction_steps import account_for, address_of, admit, counted, disconnected
from .schemas import encode
from .sliced_run import run_sliced, tiling_of
from .tickets import Ticket, Work
from .video_formats import video_format
from .video_run import run_video

Find = Callable[[], LoadedModel]
"""Gives the model of a request, or raises."""


class PredictEndpoint:
    """Answers prediction requests in every dialect."""

    def __init__(self, state: AppState) -> None:
        """Use the models, the scheduler and the limits of `state`."""
        self._state = state

    async def answer(self, request: Request, find: Find | None, accepted: Sequence[Dialect]) -> Response:
        """Predict, and count the outcome.

        Args:
            request: with `notes` for the log in its state.
            find: gives the model that the path names; None where a field names it.
            accepted: the dialects of the route.

        Raises:
            Exception: what `error_responses` answers.
        """
        return await counted(self._state, request, lambda: self._predict(request, find, accepted))

    async def _predict(self, request: Request, find: Find | None, accepted: Sequence[Dialect]) -> Response:
        state, notes = self._state, request.state.notes
        admit(state, request)
        model = None if find is None else find()
        if model is not None:
            notes["model"] = model.id
        state.scheduler.check_room()  # before the body, which costs the client nothing yet
        long_field = accepted[0].long_field
        with state.uploads.request(address_of(request)) as take:
            submission = await read_submission(request, state.settings.max_body, state.pace, take, long_field)
        arguments = read_arguments(submission.fields, submission.files, accepted)
        if model is None:
            model = by_name(state.registry, arguments.model)
            notes["model"] = model.id
        elif arguments.model is not None and by_name(state.registry, arguments.model) is not model:
            raise InputError(f"model={arguments.model[:60]!r}: the path names {model.id!r}")
        check_task(arguments.dialect, model)
        work = _work(model, arguments)
        tiling = tiling_of(arguments, model, state.settings.max_tiles)
        ticket = Ticket(perf_counter() + state.settings.timeout)
        work.field, work.data = await self._image(submission, arguments, ticket, address_of(request))
        video = _video_in(work, submission, arguments)
        if tiling is not None:
            del submission  # the image is dropped once it is decoded
            body, ticket = await run_sliced(state, work, tiling, ticket, lambda: disconnected(request))
        elif video is None:
            body = await state.scheduler.run(work, ticket, lambda: disconnected(request))
            state.metrics.observe(model.id, ticket.stages)
        else:
            del submission  # the video becomes a file on the disk
            work.render = lambda results: encode(video.frame(results, arguments))
            items, ticket = await run_video(state, work, arguments.vid_stride, lambda: disconnected(request))
            body = video.join(items, arguments, model)
        return Response(body, media_type="application/json", headers=account_for(state, request, ticket))

    async def _image(
        self, submission: Submission, arguments: Arguments, ticket: Ticket, address: str
    ) -> tuple[str, bytes]:
        """The field that an image came in, and the encoded image.

        Raises:
            InputError: there is no image, more than one, or an empty one.
            NotAnImage: it is something else.
            FetchError: its address cannot be fetched.
        """
        file, url = arguments.dialect.file, arguments.dialect.wire_name("url")
        source = arguments.url if arguments.encoded is None else arguments.encoded
        places = {file: submission.files.get(file), url: source, "the body": submission.raw}
        given = [name for name, content in places.items() if content is not None]
        if len(given) != 1:
            found = " and ".join(given) or "neither"
            raise InputError(f"expected one image, as file {file!r} or address {url!r}, found {found}")
        if arguments.url is not None:
            data = await self._fetch(url, arguments.url, ticket, address)
        elif arguments.encoded is not None:
            data = await _decoded(url, arguments.encoded)
        else:
            data = submission.files[file] if submission.raw is None else submission.raw
        if not data:
            raise InputError(f"{given[0]}: expected an image, found 0 bytes")
        return given[0], data

    async def _fetch(self, field: str, url: str, ticket: Ticket, address: str) -> bytes:
        """The image at an address; the time that it takes is a stage of the request.

        Raises:
            FetchError: it cannot be fetched, or this server fetches none.
        """
        if not self._state.settings.url_fetch:
            raise FetchError(
                f"{field}: this server fetches no addresses; send the image itself, or start the server with "
                "--url-fetch"
            )
        started = perf_counter()
        try:
            with self._state.fetches.request(address) as take:
                take(1)
                data = await self._state.fetcher.fetch(url)
        except FetchError as exc:
            raise FetchError(f"{field}: {exc}") from exc
        ticket.stages["fetch"] = (perf_counter() - started) * 1e3
        return data


async def _decoded(field: str, text: str) -> bytes:
    """The image in the text of a field, decoded beside the event loop.

    Raises:
        InputError: there is none in it.
    """
    try:
        return await asyncio.to_thread(image_from_text, text)
    except InputError as exc:
        raise type(exc)(f"{field}: {exc}") from None


def _video_in(work: Work, submission: Submission, arguments: Arguments) -> VideoAnswer | None:
    """How to answer what was sent if it is a video; None for an image.

    Raises:
        NotAnImage: it is a video that is not taken in this dialect, in this field, or under this name.
        InputError: it is a video that is to be sliced.
    """
    kind, answer = video_format(work.data), arguments.dialect.video
    if kind is None:
        return None
    if arguments.tile is not None:
        raise InputError(f"tile={arguments.tile}: slices are for images, found a video ({kind})")
    if answer is None or arguments.encoded is not None:
        raise NotAnImage(f"{work.field}: expected an image ({FORMATS}), found a video ({kind})")
    name = submission.names.get(work.field, "")
    if name.lower().endswith(IMAGE_SUFFIXES):
        raise NotAnImage(
            f"{work.field}: expected an image, by its name {shown(name)}, found a video ({kind})"
        )
    return answer


def _work(model: LoadedModel, arguments: Arguments) -> Work:
    """Check the arguments that depend on the model. The work has no image yet.

    Raises:
        InputError: the model does not run at this size.
    """
    try:
        size = model.engine.size(arguments.size)
        options = model.engine.options(arguments.conf, arguments.iou)
    except InputError as exc:  # it speaks of imgsz and conf
        dialect = arguments.dialect
        message = str(exc).replace("imgsz", dialect.wire_name("size"))
        raise InputError(re.sub(r"^conf\b", dialect.wire_name("conf"), message)) from exc

    def render(results: Results) -> bytes:
        return encode(arguments.dialect.render(results, arguments, model))

    return Work(model, b"", "image", size, options, render)
