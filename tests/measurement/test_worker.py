"""Measured processes: they run as often as they are told, and say why when they cannot."""

from __future__ import annotations

import sys

import pytest
from yolean.measurement.worker import Worker, WorkerError

COUNTING = """
from yolean.measurement.channel import open_channel, serve_repetitions
open_channel()
print("what a library prints does no harm")
count = 0
def run():
    global count
    count += 1
    return count
serve_repetitions(run, {"who": "me"}, warm_ups=2)
"""


def test_a_worker_reports_itself_and_runs_as_often_as_it_is_told() -> None:
    with Worker([sys.executable, "-c", COUNTING]) as worker:
        assert worker.about["who"] == "me"
        assert worker.about["warm_ups"] == 2
        assert worker.repetition(3).notes == [3, 4, 5]
        repetition = worker.repetition(1)
        assert repetition.notes == [6]
        assert len(repetition.ms) == 1
        assert repetition.ms[0] >= 0


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("import no_such_module", r"ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit('it has no pose')", "it has no pose"),
        ("raise SystemExit(7)", "ended with status 7 and no message"),
    ],
)
def test_a_worker_that_does_not_start_says_why(code: str, last: str) -> None:
    with pytest.raises(WorkerError, match=last):
        Worker([sys.executable, "-c", code])


def test_a_worker_that_ends_between_repetitions_says_why() -> None:
    dying = COUNTING.replace(
        "    count += 1\n", "    count += 1\n    if count > 3: raise SystemExit('out of memory')\n"
    )
    worker = Worker([sys.executable, "-c", dying])
    assert worker.repetition(1).notes == [3]
    with pytest.raises(WorkerError, match="out of memory"):
        worker.repetition(1)
