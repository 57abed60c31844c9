"""Places for images on their way to the server: each is held in memory until it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..engine.errors import ServerBusy
from .metrics import Metrics

PLACES_A_REQUEST = 4
"""Uploads for each place in the queue: they are slow, and cost memory only."""


class Uploads:
    """Counts bodies and fetched images that are being received."""

    def __init__(self, max_queue: int, metrics: Metrics) -> None:
        """Admit `PLACES_A_REQUEST` uploads for each of `max_queue` requests."""
        self._places, self._metrics = PLACES_A_REQUEST * max_queue, metrics
        self._taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place inside the context.

        Raises:
            ServerBusy: all are taken.
        """
        if self._taken >= self._places:
            self._metrics.shed.labels("uploads").inc()
            raise ServerBusy(f"{self._taken} uploads are on their way already, send it again", 1)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
