"""Every request is run in order, answered once, and none harms another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from yolean.engine.errors import InputError, ModelError, ServerBusy, YoleanError
from yolean.engine.images.frames import Frame
from yolean.engine.pipeline import Engine
from yolean.engine.results.results import Results
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.postprocess.detections import Options
from yolean.postprocess.types import Size
from yolean.server import create_app
from yolean.serving.batching import Batcher
from yolean.serving.dialects.dialect import Arguments
from yolean.serving.dialects.hub_v1 import HUB_V1
from yolean.serving.metrics import Metrics
from yolean.serving.model_registry import LoadedModel, Registry
from yolean.serving.scheduler import Scheduler
from yolean.serving.schemas import encode
from yolean.serving.settings import ModelSource, Settings
from yolean.serving.tickets import ClientGone, DeadlineError, Ticket, Work

T = TypeVar("T")
Start = Callable[..., Scheduler]

PATIENCE = 60.0  # seconds after which a test fails instead of hanging
IMAGE = cv2.imencode(".png", np.full((8, 8, 3), 99, np.uint8))[1].tobytes()
STAGES = {"queue", "decode", "preprocess", "inference", "postprocess"}


class FakeResults(SimpleNamespace):
    """What an engine gives, as far as the scheduler looks at it."""

    def __len__(self) -> int:
        return 3


class FakeEngine:
    """Answers every image with its name. Waits in `infer` while `gate` is closed.

    `fails` gives the error for the names of a run, `milliseconds` is what a run says that it took.
    """

    spec = SimpleNamespace(channels=3)
    session = SimpleNamespace(device=SimpleNamespace(is_gpu=False, name="cpu"))

    def __init__(
        self,
        watch: Callable[[int], None] = lambda threads: None,
        threads: int = 1,
        fails: Callable[[list[str]], Exception | None] = lambda names: None,
        milliseconds: float = 1.0,
    ) -> None:
        self.watch, self.threads, self.fails, self.milliseconds = watch, threads, fails, milliseconds
        self.runs: list[list[str]] = []
        self.begun, self.gate = threading.Semaphore(0), threading.Event()
        self.gate.set()

    @property
    def names(self) -> list[str]:
        return [name for run in self.runs for name in run]

    def place(self, frame: Frame, size: Size) -> tuple[Frame, SimpleNamespace]:
        assert frame.image.shape == (8, 8, 3)
        return frame, SimpleNamespace(tensor=size)

    def prepare(self, placed: list[tuple[Frame, SimpleNamespace]]) -> list[str]:
        return [frame.path for frame, _ in placed]

    def infer(self, names: list[str], conf: float = 0.0) -> list[str]:
        self.watch(self.threads)
        self.runs.append(names)
        self.begun.release()
        assert self.gate.wait(PATIENCE)
        self.watch(-self.threads)
        error = self.fails(names)
        if error is not None:
            raise error
        return names

    def result(self, names: list[str], row: int, options: Options) -> FakeResults:
        speed = {"decode": 0.1, "preprocess": 0.1, "inference": self.milliseconds, "postprocess": 0.1}
        return FakeResults(name=names[row], speed=speed)

    async def has_begun(self, count: int = 1) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(metrics: Metrics) -> Iterator[Start]:
    """Makes schedulers, which end with the test."""
    made: list[Scheduler] = []

    def make(
        cores: int = 1, max_queue: int = 64, max_pixels: int = 10**6, stuck_after: float = 60.0
    ) -> Scheduler:
        made.append(Scheduler(cores, max_queue, max_pixels, metrics, stuck_after))
        made[-1].start()
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


def fake(engine: FakeEngine, *others: FakeEngine, batcher: Batcher | None = None) -> LoadedModel:
    """A model whose engines are fakes, the one with the most threads first."""
    engines = {each.threads: cast("Engine", each) for each in (engine, *others)}
    return LoadedModel("fake", demo_model(), "0", engines, batcher=batcher)


class Request(NamedTuple):
    work: Work
    ticket: Ticket


def name_of(results: Any) -> bytes:
    """The answer of these tests: the name of the image."""
    return str(results.name).encode()


def request(
    model: LoadedModel,
    name: str = "a",
    data: bytes = IMAGE,
    render: Callable[[Any], bytes] = name_of,
    seconds: float = 60.0,
    size: tuple[int, int] = (32, 32),
) -> Request:
    work = Work(model, data, name, Size(*size), Options(), render)
    return Request(work, Ticket(perf_counter() + seconds))


def waiting(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """A client that leaves at an event."""

    async def left() -> None:
        await event.wait()

    return left


async def never() -> None:
    await asyncio.Event().wait()


def in_background(scheduler: Scheduler, *requests: Request) -> list[asyncio.Task[bytes]]:
    return [asyncio.create_task(scheduler.run(*each, never)) for each in requests]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def limited() -> T:
        async with asyncio.timeout(PATIENCE):
            return await coroutine

    return asyncio.run(limited())


def value(metrics: Metrics, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(metrics.text().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


# ---- one after the other ----------------------------------------------------------------------------------


def test_a_job_is_answered_and_its_stages_are_timed(start: Start, metrics: Metrics) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        one = request(fake(engine), "image")
        assert await scheduler.run(*one, never) == b"image"
        assert one.ticket.stages.keys() == STAGES
        assert all(0 <= milliseconds < 5000 for milliseconds in one.ticket.stages.values())
        assert one.ticket.objects == 3
        assert (scheduler.in_flight, scheduler.waiting) == (0, 0)

    run(go())
    assert value(metrics, "yolean_batch_size_count", model="fake") == 1


def test_the_time_in_the_queue_is_told(start: Start) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        engine.gate.clear()
        first, second = request(fake(engine), "1"), request(fake(engine), "2")
        tasks = in_background(scheduler, first, second)
        await engine.has_begun()
        await asyncio.sleep(0.05)
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert second.ticket.stages["queue"] >= 45
        assert first.ticket.stages["queue"] < second.ticket.stages["queue"]

    run(go())


def test_requests_are_done_in_the_order_in_which_they_came(start: Start) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        engine.gate.clear()
        names = [str(i) for i in range(30)]
        tasks = in_background(scheduler, *[request(fake(engine), name) for name in names])
        await engine.has_begun()
        assert (scheduler.in_flight, scheduler.waiting) == (30, 29)
        engine.gate.set()
        assert await asyncio.gather(*tasks) == [name.encode() for name in names]
        assert engine.names == names
        assert scheduler.in_flight == 0

    run(go())


# ---- too much ---------------------------------------------------------------------------------------------


def test_a_full_queue_turns_away_and_says_when_to_come_back(start: Start, metrics: Metrics) -> None:
    engine, scheduler = FakeEngine(), start(max_queue=2)

    async def go() -> None:
        engine.gate.clear()
        tasks = in_background(scheduler, request(fake(engine), "running"))
        await engine.has_begun()
        tasks += in_background(scheduler, request(fake(engine), "1"), request(fake(engine), "2"))
        await asyncio.sleep(0)
        with pytest.raises(ServerBusy, match="2 requests wait already") as refusal:
            await scheduler.run(*request(fake(engine), "one too many"), never)
        assert isinstance(refusal.value.retry_after, int)
        assert 1 <= refusal.value.retry_after < 60
        with pytest.raises(ServerBusy):
            scheduler.check_room()
        assert scheduler.in_flight == 3
        engine.gate.set()
        assert await asyncio.gather(*tasks) == [b"running", b"1", b"2"]
        scheduler.check_room()
        assert await scheduler.run(*request(fake(engine), "later"), never) == b"later"

    run(go())
    assert engine.names == ["running", "1", "2", "later"]
    assert value(metrics, "yolean_shed_total", reason="queue") == 2


def test_slow_work_and_a_long_queue_are_told_to_come_back_later(start: Start) -> None:
    engine, scheduler = FakeEngine(milliseconds=40_000), start(max_queue=10)

    async def go() -> None:
        await scheduler.run(*request(fake(engine)), never)
        engine.gate.clear()
        tasks = in_background(scheduler, *[request(fake(engine), seconds=1e6) for _ in range(10)])
        await engine.has_begun(2)
        tasks += in_background(scheduler, request(fake(engine), seconds=1e6))
        await asyncio.sleep(0)
        with pytest.raises(ServerBusy) as refusal:
            scheduler.check_room()
        assert 5 < refusal.value.retry_after < 100
        engine.gate.set()
        await asyncio.gather(*tasks)

    run(go())


# ---- too late ---------------------------------------------------------------------------------------------


async def is_late(one: Request) -> None:
    """Let the deadline of a job be over while it waits."""
    one.ticket.deadline = perf_counter() - 1
    await asyncio.sleep(0.05)


def test_a_job_whose_deadline_passes_in_the_queue_is_not_run(start: Start, metrics: Metrics) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        engine.gate.clear()
        late = request(fake(engine), "late")
        tasks = in_background(
            scheduler, request(fake(engine), "running"), late, request(fake(engine), "patient")
        )
        await engine.has_begun()
        await is_late(late)
        engine.gate.set()
        assert await tasks[0] == b"running"
        with pytest.raises(DeadlineError, match="waited too long"):
            await tasks[1]
        assert await tasks[2] == b"patient"

    run(go())
    assert engine.names == ["running", "patient"]
    assert value(metrics, "yolean_shed_total", reason="deadline") == 1


def test_a_deadline_that_passes_during_a_run_does_not_matter(start: Start) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        engine.gate.clear()
        running = request(fake(engine))
        (task,) = in_background(scheduler, running)
        await engine.has_begun()
        await is_late(running)
        engine.gate.set()
        assert await task == b"a"

    run(go())


def test_a_deadline_that_passes_while_others_have_the_cores_is_kept_too(start: Start) -> None:
    wide, scheduler = FakeEngine(threads=2), start(cores=2)

    async def go() -> None:
        wide.gate.clear()
        late = request(fake(wide), "late")
        tasks = in_background(scheduler, request(fake(wide), "running"))
        await wide.has_begun()
        tasks += in_background(scheduler, late)
        await until(lambda: "queue" in late.ticket.stages)  # a worker has it
        await is_late(late)
        wide.gate.set()
        assert await tasks[0] == b"running"
        with pytest.raises(DeadlineError):
            await tasks[1]

    run(go())
    assert wide.names == ["running"]


def sooner_or_later(scheduler: Scheduler, engine: FakeEngine, seconds: float) -> bool:
    """Whether an idle server runs a job that may wait for so long; a busy machine may need some tries."""
    for _ in range(20):
        try:
            return run(one_request(scheduler, engine, seconds=seconds)) == b"a"
        except DeadlineError:
            continue
    return False


def test_the_shortest_timeout_there_is_can_be_met_by_an_idle_server(start: Start) -> None:
    assert sooner_or_later(start(), FakeEngine(), 0.05)


@pytest.mark.parametrize(
    ("runs", "milliseconds"),
    [
        (1, 200_000),  # the machine was held up for minutes, once
        (30, 12_000),  # a model that takes longer than requests may wait
    ],
)
def test_slow_runs_do_not_make_an_idle_server_refuse_for_ever(
    start: Start, runs: int, milliseconds: float
) -> None:
    engine, scheduler = FakeEngine(milliseconds=milliseconds), start()
    for _ in range(runs):
        assert run(one_request(scheduler, engine, seconds=1000)) == b"a"
    assert sooner_or_later(scheduler, engine, 10)


def test_a_slow_model_does_not_shut_out_a_fast_one_that_need_not_wait(start: Start) -> None:
    slow, fast, scheduler = FakeEngine(milliseconds=12_000), FakeEngine(), start(cores=2)
    for _ in range(40):  # longer than requests may wait, as the server has learned by now
        run(one_request(scheduler, slow, seconds=1000))

    async def go() -> None:
        slow.gate.clear()
        tasks = in_background(scheduler, request(fake(slow), "slow"))
        await slow.has_begun(41)
        for _ in range(5):  # there is a worker and a core for these
            assert await scheduler.run(*request(fake(fast), "fast", seconds=10), never) == b"fast"
        slow.gate.set()
        await asyncio.gather(*tasks)

    run(go())


async def one_request(scheduler: Scheduler, engine: FakeEngine, **options: Any) -> bytes:
    return await scheduler.run(*request(fake(engine), **options), never)


# ---- gone -------------------------------------------------------------------------------------------------


def test_who_leaves_the_queue_is_not_run(start: Start, metrics: Metrics) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        left = asyncio.Event()
        engine.gate.clear()
        running, after = request(fake(engine), "running"), request(fake(engine), "after")
        tasks = in_background(scheduler, running)
        await engine.has_begun()
        leaving = asyncio.create_task(scheduler.run(*request(fake(engine), "leaving"), waiting(left)))
        await asyncio.sleep(0)
        tasks += in_background(scheduler, after)
        left.set()
        with pytest.raises(ClientGone):
            await leaving  # at once, though the worker is busy
        assert scheduler.in_flight == 2
        engine.gate.set()
        assert await asyncio.gather(*tasks) == [b"running", b"after"]

    run(go())
    assert engine.names == ["running", "after"]
    assert value(metrics, "yolean_clients_left_total") == 1


def test_who_leaves_during_the_run_disturbs_nobody(start: Start) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        left = asyncio.Event()
        engine.gate.clear()
        leaving = asyncio.create_task(scheduler.run(*request(fake(engine), "leaving"), waiting(left)))
        await engine.has_begun()
        left.set()
        with pytest.raises(ClientGone):
            await leaving
        engine.gate.set()
        assert await scheduler.run(*request(fake(engine), "next"), never) == b"next"

    run(go())


def test_a_request_that_is_cancelled_is_not_run(start: Start) -> None:
    engine, scheduler = FakeEngine(), start()

    async def go() -> None:
        engine.gate.clear()
        running, cancelled = in_background(
            scheduler, request(fake(engine), "running"), request(fake(engine), "cancelled")
        )
        await engine.has_begun()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        engine.gate.set()
        assert await running == b"running"
        assert await scheduler.run(*request(fake(engine), "next"), never) == b"next"

    run(go())
    assert engine.names == ["running", "next"]


def test_a_worker_outlives_the_loop_that_has_asked_it(start: Start) -> None:
    engine, scheduler = FakeEngine(), start()
    engine.gate.clear()

    async def leave() -> None:
        in_background(scheduler, request(fake(engine), "left behind"))
        await engine.has_begun()

    run(leave())
    engine.gate.set()
    assert run(one_request(scheduler, engine, name="next")) == b"next"


# ---- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"no image at all", IMAGE[:40], b"", IMAGE[:-20] + b"\0" * 20],
    ids=["text", "cut off", "empty", "damaged"],
)
def test_one_bad_image_fails_alone(start: Start, data: bytes) -> None:
    engine, scheduler = FakeEngine(), start(cores=2)

    async def go() -> Any:
        names = ["a", "bad", "b"]
        requests = [request(fake(engine), name, data if name == "bad" else IMAGE) for name in names]
        return await asyncio.gather(*in_background(scheduler, *requests), return_exceptions=True)

    first, bad, last = run(go())
    assert (first, last) == (b"a", b"b")
    if data[:50] != IMAGE[:50]:  # a damaged end may be decoded as far as it goes
        assert isinstance(bad, YoleanError)
    assert sorted(engine.names)[:2] == ["a", "b"]


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(start: Start) -> None:
    engine, scheduler = FakeEngine(), start(max_pixels=63)
    with pytest.raises(InputError, match="a: "):
        run(one_request(scheduler, engine))
    assert engine.names == []
    assert run(one_request(start(max_pixels=64), engine)) == b"a"


@pytest.mark.parametrize(
    "error", [ModelError("no"), RuntimeError("a bug"), MemoryError(), KeyError(1)], ids=repr
)
def test_an_error_of_the_engine_goes_to_its_request_alone(start: Start, error: Exception) -> None:
    engine, scheduler = FakeEngine(fails=lambda names: error if "bad" in names else None), start()

    async def go() -> Any:
        tasks = in_background(
            scheduler, *[request(fake(engine), name) for name in ("bad", "good", "bad", "good")]
        )
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert run(go()) == [error, b"good", error, b"good"]


def test_an_error_of_the_answer_goes_to_its_request_alone(start: Start) -> None:
    engine, scheduler = FakeEngine(), start()

    def render(results: Any) -> bytes:
        raise ValueError(results.name)

    with pytest.raises(ValueError, match="a"):
        run(one_request(scheduler, engine, render=render))
    assert run(one_request(scheduler, engine)) == b"a"


# ---- cores ------------------------------------------------------------------------------------------------


def test_alone_a_job_has_all_cores_in_company_one(start: Start) -> None:
    wide, narrow, scheduler = FakeEngine(threads=2), FakeEngine(threads=1), start(cores=2)
    assert scheduler.intra_op_choices == (2, 1)
    model = fake(wide, narrow)

    async def go() -> None:
        wide.gate.clear()
        tasks = in_background(scheduler, request(model, "alone"))
        await wide.has_begun()
        tasks += in_background(scheduler, *[request(model, name) for name in "abc"])
        await asyncio.sleep(0)
        wide.gate.set()
        await asyncio.gather(*tasks)
        assert (wide.names, sorted(narrow.names)) == (["alone"], ["a", "b", "c"])
        await scheduler.run(*request(model, "alone again"), never)
        assert wide.names == ["alone", "alone again"]

    run(go())


@pytest.mark.parametrize("cores", [2, 4])
def test_runs_never_take_more_cores_than_there_are(start: Start, cores: int) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def watch(by: int) -> None:
        with lock:
            now[0] += by
            most[0] = max(most[0], now[0])

    scheduler = start(cores, max_queue=1000)
    engines = [FakeEngine(watch, threads) for threads in scheduler.intra_op_choices]
    model = fake(*engines)

    async def client(number: int) -> None:
        for i in range(15):
            assert await scheduler.run(*request(model, f"{number}-{i}"), never) == f"{number}-{i}".encode()

    async def go() -> None:
        for clients in (1, 2, 7):
            await asyncio.gather(*[client(number) for number in range(clients)])

    run(go())
    assert 0 < most[0] <= cores
    assert now[0] == 0
    assert all(engine.names for engine in engines)


# ---- batches ----------------------------------------------------------------------------------------------


def batcher_of(model: LoadedModel) -> Batcher:
    assert model.batcher is not None
    return model.batcher


def batched(engine: FakeEngine, max_batch: int = 4) -> LoadedModel:
    return fake(engine, batcher=Batcher(cast("Engine", engine), max_batch))


def test_what_waits_for_a_batch_is_run_together_and_answered_apart(start: Start, metrics: Metrics) -> None:
    error = ModelError("bad")
    engine, scheduler = FakeEngine(fails=lambda names: error if "bad" in names else None), start(cores=2)
    model = batched(engine)

    async def go() -> None:
        left = asyncio.Event()
        engine.gate.clear()
        tasks = in_background(scheduler, request(model, "first"))
        await engine.has_begun()
        late = request(model, "late")
        tasks += in_background(scheduler, request(model, "a"), request(model, "bad"), late)
        leaving = asyncio.create_task(scheduler.run(*request(model, "leaving"), waiting(left)))
        await asyncio.sleep(0)
        tasks += in_background(scheduler, request(model, "b"), request(model, "other size", size=(64, 64)))
        await until(lambda: len(batcher_of(model)) == 6)
        left.set()
        with pytest.raises(ClientGone):
            await leaving
        await is_late(late)
        engine.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found.pop(3), DeadlineError)
        assert found == [b"first", b"a", error, b"b", b"other size"]
        assert engine.runs == [["first"], ["a", "bad", "b"], ["a"], ["bad"], ["b"], ["other size"]]

    run(go())
    assert value(metrics, "yolean_batch_size_bucket", model="fake", le="1.0") >= 1
    assert value(metrics, "yolean_shed_total", reason="deadline") == 1


def test_in_a_batch_the_stages_are_timed_too(start: Start) -> None:
    engine, scheduler = FakeEngine(), start(cores=2)

    async def go() -> None:
        one = request(batched(engine))
        await scheduler.run(*one, never)
        assert one.ticket.stages.keys() == STAGES
        assert all(milliseconds >= 0 for milliseconds in one.ticket.stages.values())

    run(go())


def test_who_waits_for_room_among_the_decoded_is_told_so_and_not_that_decoding_was_slow(start: Start) -> None:
    # What is taken for work decides who is turned away later.
    engine, scheduler = FakeEngine(), start(cores=2)
    model = batched(engine, max_batch=1)

    async def go() -> None:
        engine.gate.clear()
        requests = [request(model, str(number)) for number in range(5)]
        tasks = in_background(scheduler, requests[0])
        await engine.has_begun()
        tasks += in_background(scheduler, *requests[1:])
        await until(lambda: len(batcher_of(model)) == 2)  # no more are decoded for now
        await asyncio.sleep(0.3)
        engine.gate.set()
        assert await asyncio.gather(*tasks) == [b"0", b"1", b"2", b"3", b"4"]
        for each in requests[1:]:
            assert each.ticket.stages["queue"] > 250
            assert each.ticket.stages["decode"] < 200

    run(go())


def test_what_waits_for_a_batch_counts_as_waiting(start: Start) -> None:
    # They hold decoded images: a queue without end there would be the end of the memory.
    engine, scheduler = FakeEngine(), start(cores=2, max_queue=5)
    model = batched(engine)

    async def go() -> None:
        engine.gate.clear()
        tasks = in_background(scheduler, request(model, "running"))
        await engine.has_begun()
        refused = 0
        for number in range(20):
            tasks += in_background(scheduler, request(model, str(number)))
            await asyncio.sleep(0.005)
        assert scheduler.waiting <= 5 + 2  # one that a worker has in hand is not counted, and waits later
        engine.gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        refused = sum(isinstance(outcome, ServerBusy) for outcome in outcomes)
        assert 12 <= refused <= 15  # one runs, five wait, and each worker may have one in hand

    run(go())


# ---- the health of the workers --------------------------------------------------------------------------


def test_workers_that_take_nothing_for_long_are_stuck(start: Start) -> None:
    engine, scheduler = FakeEngine(), start(stuck_after=0.05)

    async def go() -> None:
        assert not scheduler.is_stuck
        engine.gate.clear()
        tasks = in_background(scheduler, request(fake(engine)))
        await engine.has_begun()
        await asyncio.sleep(0.07)
        assert not scheduler.is_stuck  # nobody waits
        tasks += in_background(scheduler, request(fake(engine)))
        await asyncio.sleep(0.07)
        assert scheduler.is_stuck
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert not scheduler.is_stuck

    run(go())


def test_the_first_job_after_a_quiet_time_is_no_sign_of_trouble(start: Start) -> None:
    engine, scheduler = FakeEngine(), start(stuck_after=0.05)

    async def go() -> None:
        await asyncio.sleep(0.07)
        (task,) = in_background(scheduler, request(fake(engine)))
        await asyncio.sleep(0)
        assert not scheduler.is_stuck
        await task

    run(go())


def test_closing_ends_the_workers_and_leaves_undone_what_waits(start: Start) -> None:
    before = threading.enumerate()
    engine, scheduler = FakeEngine(), start(cores=2)
    workers = [thread for thread in threading.enumerate() if thread not in before]
    assert len(workers) == 2

    async def go() -> None:
        engine.gate.clear()
        tasks = in_background(scheduler, *[request(fake(engine), str(i)) for i in range(9)])
        await engine.has_begun()
        closing = asyncio.create_task(asyncio.to_thread(scheduler.close))
        await asyncio.sleep(0.02)
        engine.gate.set()
        await closing
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(go())
    assert len(engine.names) <= 2
    assert not any(worker.is_alive() for worker in workers)
    scheduler.close()  # once more does no harm


def test_workers_start_with_the_server_and_not_with_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    # A web server may make the application first and fork then, and threads stay behind.
    monkeypatch.delenv("YOLEAN_API_KEY", raising=False)
    before = threading.enumerate()
    create_app(Settings())
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


# ---- the real thing ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_answers_to_many_at_once_are_byte_for_byte_those_to_one_after_the_other(start: Start) -> None:
    scheduler = start(cores=2, max_queue=1000)
    registry = Registry(
        [ModelSource(demo_model(task)) for task in DEMO_MODELS], "cpu", scheduler.intra_op_choices
    )
    registry.refresh()
    assert not registry.failures
    images = [image.read_bytes() for image in demo_images()]
    arguments = Arguments(HUB_V1, None, None, 0.25, 0.45, None)

    def real(model: LoadedModel, data: bytes) -> Request:
        engine = model.engine
        size, options = engine.size(), engine.options(0.25, 0.45)

        def render(results: Results) -> bytes:
            return encode(HUB_V1.render(results, arguments, model))

        work = Work(model, data, "image", size, options, render)
        return Request(work, Ticket(perf_counter() + 60))

    wanted = [(model, data) for model in registry.models.values() for data in images]

    async def go() -> Any:
        alone = [await scheduler.run(*real(*each), never) for each in wanted]
        together = await asyncio.gather(*[scheduler.run(*real(*each), never) for each in wanted * 2])
        return alone, together

    alone, together = run(go())
    assert together == alone * 2
    assert all(body.startswith(b'{"success":true') for body in alone)
