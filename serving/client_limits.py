"""Limits on what clients send: how slowly, and how much is held of it for all and for one client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from random import uniform

from ..engine.errors import ServerBusy, YoleanError

HEAD_LIMITS = "head_limits"
"""Where the state of an application's lifespan holds its `HeadLimits`."""

HEAD_SPREAD, BODY_SPREAD = 1.2, 2.0
"""Times until a client is cut off are longer by a random factor of up to this; those of a body at its
beginning. Hundreds of clients that begin together would else be answered in one moment, and delay others."""

Take = Callable[[int], None]
"""Takes a further amount of a budget for one request; raises ServerBusy if there is none left."""


class SlowUpload(YoleanError):
    """The body came more slowly than the server waits for it."""


class SharedBudget:
    """An amount that requests take parts of, of which one client gets no more than its share.

    Clients are told apart by their address, those of IPv6 by the first 64 bits, which one household has.
    """

    def __init__(
        self, total: int, per_client: int, complaint: str, on_refusal: Callable[[], None] = lambda: None
    ) -> None:
        """Begin with nothing taken.

        Args:
            total: what all requests together may take.
            per_client: what the requests of one client may take together.
            complaint: message of the refusal.
            on_refusal: called before a refusal.
        """
        self._on_refusal = on_refusal
        self._total, self._per_client, self._complaint = total, per_client, complaint
        self._taken: Counter[str] = Counter()
        self._in_use = 0

    @contextmanager
    def request(self, address: str) -> Iterator[Take]:
        """Let a request take parts, which are given back at the end of the context.

        Args:
            address: of its client.
        """
        client = _client_of(address)
        own = 0

        def take(amount: int) -> None:
            nonlocal own
            if self._in_use + amount > self._total or self._taken[client] + amount > self._per_client:
                self._on_refusal()
                raise ServerBusy(self._complaint, 1)
            own += amount
            self._in_use += amount
            self._taken[client] += amount

        try:
            yield take
        finally:
            self._in_use -= own
            self._taken[client] -= own
            if not self._taken[client]:
                del self._taken[client]


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """What a client may take for the head of a request.

    Attributes:
        seconds: time until it is complete, from the connection or from its first byte.
        size: bytes.
    """

    seconds: float = 10.0
    size: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must come.

    Attributes:
        rate: bytes a second.
        window: seconds over which the rate is measured.
    """

    rate: int
    window: float

    @asynccontextmanager
    async def keep(self) -> AsyncIterator[Callable[[int], None]]:
        """Watch the body that is read in the context; it gives a function to call with the size of each part.

        Raises:
            SlowUpload: fewer than `rate * window` bytes, and not the end, have come within `window` seconds.
        """
        loop = asyncio.get_running_loop()
        arrived = 0
        try:
            async with asyncio.timeout(self.window * uniform(1, BODY_SPREAD)) as timeout:

                def count(size: int) -> None:
                    nonlocal arrived
                    arrived += size
                    if arrived >= self.rate * self.window:
                        arrived = 0
                        timeout.reschedule(loop.time() + self.window)

                yield count
        except TimeoutError as exc:
            raise SlowUpload(
                f"the body came too slowly: expected {self.rate:,} bytes a second, and in the last "
                f"{self.window:g} s came {arrived:,}"
            ) from exc


def _client_of(address: str) -> str:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:  # none, of a client on a socket file
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))
