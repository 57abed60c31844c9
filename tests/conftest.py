"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Each test has tens of examples, which a second or two buys; those that need more say so.
# The gate takes the same ones each time: it fails for what has changed, not for what it happens to draw.
settings.register_profile("tens", max_examples=30, deadline=None, derandomize="CI" in os.environ)
settings.load_profile("tens")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of the server run against replicas of Ray Serve."""
    parser.addoption("--on-ray", action="store_true", help="servers are deployed on a Ray cluster")


@pytest.fixture(scope="module", autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Models run on one thread, unless a test asks for more; processes that tests start are not touched.

    A run of the small models takes a millisecond: a second thread makes it no shorter, and its waiting costs
    half as much CPU time again. The golden tests run real models where there are some, to which it matters.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name != "golden":
            patch.setattr("yolean.engine.runtime.session.usable_cores", lambda: 1)
        yield
