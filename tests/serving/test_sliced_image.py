"""Slices that run in a scheduler, alone and where requests are joined into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter

import pytest
from yolean.engine.errors import InputError
from yolean.engine.pipeline import Engine
from yolean.engine.results.results import Results
from yolean.engine.tiling import Tiling
from yolean.models import demo_images, demo_model
from yolean.postprocess.types import Size
from yolean.serving.batching import Batcher
from yolean.serving.metrics import Metrics
from yolean.serving.model_registry import LoadedModel
from yolean.serving.scheduler import Scheduler
from yolean.serving.sliced_image import SlicedImage
from yolean.serving.tickets import Ticket, Work

IMAGE = demo_images()[0]


async def run(engine: Engine, tiling: Tiling, *, batched: bool) -> tuple[list[bytes], list[Results]]:
    """The bodies of all turns, and what was rendered."""
    batcher = Batcher(engine, 4) if batched else None
    model = LoadedModel("shapes", demo_model(), "0", {1: engine}, batcher=batcher)
    rendered: list[Results] = []

    def render(results: Results) -> bytes:
        rendered.append(results)
        return b"body"

    image, bodies = SlicedImage(tiling), []
    size, options = engine.size(), engine.options()
    work = Work(model, IMAGE.read_bytes(), "file", size, options, render, sliced=image)
    scheduler = Scheduler(1, 8, 10**6, Metrics())
    scheduler.start()
    try:
        while not image.is_complete:
            ticket = Ticket(perf_counter() + 30)
            bodies.append(await scheduler.run(work, ticket, asyncio.Event().wait))
            work.frame = image.frame
            assert set(ticket.stages) == {"queue", "decode", "preprocess", "inference", "postprocess"}
            assert (ticket.stages["decode"] > 0) is (len(bodies) == 1)
            assert ticket.objects == sum(map(len, rendered))
    finally:
        scheduler.close()
    return bodies, rendered


@pytest.mark.parametrize("batched", [False, True], ids=["alone", "batches"])
def test_the_last_slice_answers_for_all(engines: Mapping[str, Engine], batched: bool) -> None:
    bodies, (results,) = asyncio.run(run(engines["detect"], Tiling(Size(320, 320)), batched=batched))
    assert bodies == [b""] * 6 + [b"body"]
    (wanted,) = engines["detect"](str(IMAGE), tile=320)
    assert results.summary() == wanted.summary()
    assert results.speed.keys() == wanted.speed.keys()
    assert len(results) > 0


def test_too_many_slices_are_refused_before_the_first_run(engines: Mapping[str, Engine]) -> None:
    with pytest.raises(InputError, match="6 slices of an image of 480x640"):
        asyncio.run(run(engines["detect"], Tiling(Size(320, 320), limit=5), batched=False))
