"""Worker processes: they take turns, and say why when they cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from yolean.benchmarks import workers
from yolean.benchmarks.workers import Worker, WorkerError

FOLDER = Path(workers.__file__).parent
TURNS = f"""
import sys
sys.path.append({str(FOLDER)!r})
from peers.turn import open_channel, take_turns
open_channel()
print("what a library prints does no harm")
count = 0
def run():
    global count
    count += 1
    return count
take_turns(run, {{"who": "me"}}, warm_ups=2)
"""


def test_a_worker_tells_of_itself_and_runs_as_often_as_it_is_told():
    with Worker([sys.executable, "-c", TURNS]) as worker:
        assert worker.about["who"] == "me"
        assert worker.about["warm_ups"] == 2
        assert worker.group(3)["notes"] == [3, 4, 5]
        group = worker.group(1)
        assert group["notes"] == [6]
        assert len(group["ms"]) == 1
        assert group["ms"][0] >= 0


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit('it has no pose')", "it has no pose"),
        ("raise SystemExit(7)", "ended with status 7, without a word"),
    ],
)
def test_a_worker_that_does_not_start_says_why(code, last):
    with pytest.raises(WorkerError, match=last.replace("(", r"\(")):
        Worker([sys.executable, "-c", code])


def test_a_worker_that_ends_between_turns_says_why():
    dying = TURNS.replace(
        "    count += 1\n", "    count += 1\n    if count > 3: raise SystemExit('out of breath')\n"
    )
    worker = Worker([sys.executable, "-c", dying])
    assert worker.group(1)["notes"] == [3]
    with pytest.raises(WorkerError, match="out of breath"):
        worker.group(1)
