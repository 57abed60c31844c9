"""Requests joined into runs: each image gets its own answer, whatever becomes of its neighbours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from yolean.engine.errors import ModelError
from yolean.engine.pipeline import Engine
from yolean.serving.batching import Batcher, BatchItem

PATIENCE = 60.0  # seconds after which a test fails instead of hanging
SMALL, LARGE = (32, 32), (64, 64)


class FakeEngine:
    """Notes what it runs; its outputs are the images themselves. `fails` gives the error for a batch."""

    def __init__(self, fails: Callable[[list[str]], Exception | None] = lambda images: None) -> None:
        self.fails = fails
        self.runs: list[list[str]] = []
        self.confs: list[float] = []
        self.at_work, self.overlapped = threading.Lock(), False
        self.started, self.may_run = threading.Semaphore(0), threading.Event()
        self.may_run.set()

    def prepare(self, placed: list[Any]) -> list[str]:
        assert len({geometry.tensor for _, geometry in placed}) == 1, "one tensor has one shape"
        return [image for image, _ in placed]

    def infer(self, images: list[str], conf: float = 0.0) -> list[str]:
        alone = self.at_work.acquire(blocking=False)
        self.overlapped |= not alone
        try:
            self.started.release()
            assert self.may_run.wait(PATIENCE)
            self.runs.append(images)
            self.confs.append(conf)
            error = self.fails(images)
            if error is not None:
                raise error
            return images
        finally:
            if alone:
                self.at_work.release()


def batcher_of(engine: FakeEngine, max_batch: int, window: float = 0.0) -> Batcher:
    """A batcher that runs a fake engine."""
    return Batcher(cast("Engine", engine), max_batch, window)


class Answers:
    """What became of each image."""

    def __init__(self) -> None:
        self.by_image: dict[str, Any] = {}
        self.lock = threading.Lock()

    def item(
        self,
        image: str,
        shape: tuple[int, int] = SMALL,
        wanted: Callable[[], bool] = lambda: True,
        conf: float = 0.25,
    ) -> BatchItem:
        def on_outputs(outputs: Any, row: int) -> None:
            with self.lock:
                assert image not in self.by_image, "answered twice"
                self.by_image[image] = outputs if isinstance(outputs, Exception) else outputs[row]

        placed: Any = image, SimpleNamespace(tensor=shape)
        return BatchItem(placed, conf, wanted, on_outputs)


@pytest.fixture
def answers() -> Answers:
    return Answers()


@contextmanager
def busy(batcher: Batcher, engine: FakeEngine, answers: Answers) -> Iterator[None]:
    """While the context lasts, a run of the image "first" is going; it goes on at the end."""
    engine.may_run.clear()
    thread = threading.Thread(target=batcher.add, args=(answers.item("first"),), daemon=True)
    thread.start()
    assert engine.started.acquire(timeout=PATIENCE)
    yield
    engine.may_run.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_an_image_alone_runs_at_once(answers: Answers) -> None:
    engine = FakeEngine()
    batcher = batcher_of(engine, max_batch=8)
    batcher.add(answers.item("a"))
    assert engine.runs == [["a"]]
    assert answers.by_image == {"a": "a"}
    assert len(batcher) == 0


def test_what_came_during_a_run_goes_into_the_next(answers: Answers) -> None:
    engine = FakeEngine()
    batcher = batcher_of(engine, max_batch=8)
    with busy(batcher, engine, answers):
        for image in "abc":
            batcher.add(answers.item(image))  # returns at once: the lane goes back to decoding
        assert len(batcher) == 3
        assert answers.by_image == {}
    assert engine.runs == [["first"], ["a", "b", "c"]]
    assert answers.by_image == {image: image for image in ("first", "a", "b", "c")}


def test_a_run_gets_the_least_threshold_of_its_images(answers: Answers) -> None:
    engine = FakeEngine()
    batcher = batcher_of(engine, max_batch=2)
    with busy(batcher, engine, answers):
        for image, conf in (("a", 0.5), ("b", 0.1), ("c", 0.7)):
            batcher.add(answers.item(image, conf=conf))
    assert engine.runs == [["first"], ["a", "b"], ["c"]]
    assert engine.confs == [0.25, 0.1, 0.7]


@pytest.mark.parametrize(
    ("images", "most", "runs"),
    [
        ([("a", SMALL)] * 5, 2, [2, 2, 1]),  # no more than fit
        ([("a", SMALL)] * 4, 4, [4]),
        ([("a", SMALL)] * 3, 1, [1, 1, 1]),
        ([("a", SMALL), ("b", LARGE)], 8, [1, 1]),  # another shape is another run
        (
            [("a", SMALL), ("b", SMALL), ("c", LARGE), ("d", LARGE), ("e", SMALL)],
            8,
            [2, 2, 1],
        ),  # in their order
        ([("a", SMALL)] * 3 + [("b", LARGE)] * 3, 2, [2, 1, 2, 1]),
    ],
)
def test_runs_hold_one_shape_and_no_more_than_fits(
    answers: Answers, images: list[tuple[str, tuple[int, int]]], most: int, runs: list[int]
) -> None:
    engine = FakeEngine()
    sizes: list[int] = []
    batcher = batcher_of(engine, most)
    with busy(batcher, engine, answers):
        for number, (image, shape) in enumerate(images):
            batcher.add(answers.item(f"{image}{number}", shape), sizes.append)
    assert [len(run) for run in engine.runs[1:]] == runs
    assert [image for run in engine.runs[1:] for image in run] == [
        f"{i}{n}" for n, (i, _) in enumerate(images)
    ]
    assert len(answers.by_image) == len(images) + 1
    assert sizes == []  # whoever only left an image is told of no run


def test_every_run_is_reported_and_reserves_its_cores(answers: Answers) -> None:
    engine = FakeEngine()
    events: list[Any] = []

    @contextmanager
    def reserve() -> Iterator[None]:
        events.append("reserve")
        runs = len(engine.runs)
        yield
        events.append(len(engine.runs) - runs)

    batcher = batcher_of(engine, max_batch=2)
    engine.may_run.clear()
    thread = threading.Thread(
        target=batcher.add, args=(answers.item("a"), events.append, reserve), daemon=True
    )
    thread.start()
    assert engine.started.acquire(timeout=PATIENCE)
    for image in "bcd":
        batcher.add(answers.item(image))
    engine.may_run.set()
    thread.join(PATIENCE)
    assert events == [1, "reserve", 1, 2, "reserve", 1, 1, "reserve", 1]


def test_what_nobody_wants_is_left_out(answers: Answers) -> None:
    engine, wanted = FakeEngine(), {"a": True, "b": True, "c": True, "d": True}
    batcher = batcher_of(engine, max_batch=2)
    with busy(batcher, engine, answers):
        for image in wanted:
            batcher.add(answers.item(image, wanted=partial(wanted.__getitem__, image)))
        wanted["a"] = wanted["c"] = False  # they left after they had come
    assert engine.runs == [["first"], ["b", "d"]]
    assert answers.by_image.keys() == {"first", "b", "d"}


def test_when_nobody_wants_anything_nothing_runs(answers: Answers) -> None:
    engine = FakeEngine()
    batcher = batcher_of(engine, max_batch=2)
    batcher.add(answers.item("a", wanted=lambda: False))
    assert (engine.runs, answers.by_image, len(batcher)) == ([], {}, 0)
    batcher.add(answers.item("b"))
    assert answers.by_image == {"b": "b"}


# ---- what goes wrong --------------------------------------------------------------------------------------


def test_one_bad_image_fails_alone(answers: Answers) -> None:
    error = ModelError("it cannot take this one")
    engine = FakeEngine(lambda images: error if "bad" in images else None)
    batcher = batcher_of(engine, max_batch=8)
    with busy(batcher, engine, answers):
        for image in ("a", "bad", "b"):
            batcher.add(answers.item(image))
    assert answers.by_image == {"first": "first", "a": "a", "bad": error, "b": "b"}
    batcher.add(answers.item("later"))
    assert answers.by_image["later"] == "later"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError(), KeyError("x")], ids=repr)
def test_a_bug_fails_its_batch_and_no_other(answers: Answers, error: Exception) -> None:
    engine = FakeEngine(lambda images: error if "bad" in images else None)
    batcher = batcher_of(engine, max_batch=2)
    with busy(batcher, engine, answers):
        for image in ("a", "bad", "b", "c"):
            batcher.add(answers.item(image))
    assert answers.by_image == {"first": "first", "a": error, "bad": error, "b": "b", "c": "c"}
    assert engine.runs == [["first"], ["a", "bad"], ["b", "c"]]  # not tried one by one
    batcher.add(answers.item("later"))
    assert answers.by_image["later"] == "later"


def test_a_bad_image_alone_is_run_once(answers: Answers) -> None:
    error = ModelError("no")
    engine = FakeEngine(lambda images: error)
    batcher_of(engine, max_batch=8).add(answers.item("a"))
    assert (engine.runs, answers.by_image) == ([["a"]], {"a": error})


def test_an_error_while_it_is_prepared_fails_the_image_too(answers: Answers) -> None:
    error = ModelError("too small")

    class Broken(FakeEngine):
        def prepare(self, placed: list[Any]) -> list[str]:
            raise error

    batcher_of(Broken(), max_batch=8).add(answers.item("a"))
    assert answers.by_image == {"a": error}


@pytest.mark.parametrize("where", ["on_run", "reserve"])
def test_an_error_around_a_run_does_not_stop_the_runs_that_follow(answers: Answers, where: str) -> None:
    engine = FakeEngine()
    batcher = batcher_of(engine, max_batch=8)

    def broken(*_: Any) -> Any:
        raise OSError("no space left for a metric")

    with pytest.raises(OSError, match="no space"):
        batcher.add(answers.item("a"), **{where: broken})
    batcher.add(answers.item("b"))
    assert answers.by_image.get("b") == "b"


# ---- many at once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 8])
def test_of_many_threads_every_image_is_answered_once_and_runs_never_overlap(
    answers: Answers, most: int
) -> None:
    engine = FakeEngine(lambda images: ModelError("bad") if any(i.endswith("7") for i in images) else None)
    batcher = batcher_of(engine, most)
    start = threading.Barrier(8)

    def bring(thread: int) -> None:
        start.wait(PATIENCE)
        for i in range(150):
            batcher.add(answers.item(f"{thread}-{i}", SMALL if i % 5 else LARGE))

    threads = [threading.Thread(target=bring, args=(n,), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    # Nothing is left behind: the last to leave an image either runs it, or a run was going that takes it.
    assert len(batcher) == 0
    assert len(answers.by_image) == 8 * 150
    for image, outcome in answers.by_image.items():
        assert isinstance(outcome, ModelError) if image.endswith("7") else outcome == image
    assert not engine.overlapped
    assert max(map(len, engine.runs)) <= most


# ---- the window -------------------------------------------------------------------------------------------


def test_a_batch_that_is_not_full_waits_for_the_window(answers: Answers) -> None:
    engine = FakeEngine()
    batcher = batcher_of(engine, max_batch=8, window=200)
    threads = [threading.Thread(target=batcher.add, args=(answers.item(i),), daemon=True) for i in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(map(sorted, engine.runs)) == [["a", "b"]]


def test_a_full_batch_does_not_wait(answers: Answers) -> None:
    engine = FakeEngine()
    batcher = batcher_of(engine, max_batch=1, window=1000)
    started = perf_counter()
    done = threading.Event()
    item = answers.item("a")
    answer = item.on_outputs

    def on_outputs(outputs: Any, row: int) -> None:
        answer(outputs, row)
        done.set()

    item.on_outputs = on_outputs
    threading.Thread(target=batcher.add, args=(item,), daemon=True).start()
    assert done.wait(PATIENCE)
    assert perf_counter() - started < 0.7


def test_whoever_has_run_what_there_was_does_not_wait_for_more(answers: Answers) -> None:
    engine = FakeEngine()
    started = perf_counter()
    batcher_of(engine, max_batch=1, window=1000).add(answers.item("a"))
    assert perf_counter() - started < 0.7  # the lane has other things to do
