"""Facts about this machine."""

from __future__ import annotations

import os
from importlib import metadata

import yolean
from yolean.measurement.machine import installed, this_machine


def test_the_facts_are_those_of_this_machine() -> None:
    facts = this_machine()
    assert facts.processor
    assert facts.cores == os.cpu_count()
    assert 1 <= facts.usable_cores <= (facts.cores or 1)
    assert facts.yolean == yolean.__version__
    assert facts.versions["numpy"] == metadata.version("numpy")


def test_what_is_not_installed_has_no_version() -> None:
    assert installed("no-such-distribution") is None
