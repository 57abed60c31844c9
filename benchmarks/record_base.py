"""What all recorded results have in common: schema, machine, notes, targets."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..measurement.machine import Machine, this_machine
from ..measurement.summary import Quartiles

SCHEMA: Literal[2] = 2
"""Version of the fields below; raise it when a field changes its meaning."""

SESSION_RUN, YOLEAN, YOLEAN_LEAN, YOLEAN_INT8 = "session.run", "yolean", "yolean, lean", "yolean, INT8"
ULTRALYTICS, YOLEAN_OPENVINO_BF16 = "Ultralytics", "yolean on OpenVINO, bf16"
YOLEAN_SERVE = "yolean serve"
"""Systems that pages and plots tell apart; the other names are those of `backends` and `servers`."""


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a record."""


class NotMeasured(Struct):
    """A system under test that could not be measured, and the reason in a line."""

    system: str
    reason: str


Outcome = Literal["kept", "not kept", "within noise"]


class PerformanceTarget(Struct):
    """A figure that a scenario is meant to reach.

    Attributes:
        name: what is measured.
        bound: whether the figure shall be `at most` or `above` the limit.
        limit: the limit.
        measured: the figure.
        outcome: `kept` or `not kept` only where the whole IQR lies on one side of the limit.
    """

    name: str
    bound: Literal["at most", "above"]
    limit: float
    measured: Quartiles
    outcome: Outcome


def judged(
    name: str, bound: Literal["at most", "above"], limit: float, measured: Quartiles
) -> PerformanceTarget:
    """Judge a figure by its IQR."""
    if bound == "above":
        kept, missed = measured.q1 > limit, measured.q3 <= limit
    else:
        kept, missed = measured.q3 <= limit, measured.q1 > limit
    outcome: Outcome = "kept" if kept else "not kept" if missed else "within noise"
    return PerformanceTarget(name=name, bound=bound, limit=limit, measured=measured, outcome=outcome)


class Record(Struct, kw_only=True):
    """What every record holds besides its figures; `notes` are shown wherever the figures are."""

    schema: Literal[2] = SCHEMA
    machine: Machine = msgspec.field(default_factory=this_machine)
    notes: list[str] = []
