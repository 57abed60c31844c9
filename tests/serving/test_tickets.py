"""The place of a request: its deadline, and an answer that any thread may give, once."""

from __future__ import annotations

import asyncio
import threading
from time import perf_counter

import pytest
from yolean.serving.tickets import Ticket


def test_work_that_would_end_after_the_deadline_is_late_but_for_half_of_the_wait_at_most() -> None:
    async def go() -> None:
        ticket = Ticket(perf_counter() + 10)
        ticket.enter(1)
        assert not ticket.is_late(0)
        assert not ticket.is_late(1000)  # past runs were slow; that may be over
        ticket.deadline = perf_counter() + 4
        ticket.queued_at = perf_counter() - 6
        assert ticket.is_late(5)
        assert not ticket.is_late(3)
        ticket.deadline = perf_counter() - 0.001
        assert ticket.is_late(0)

    asyncio.run(go())


def test_the_first_outcome_counts_whichever_thread_gives_it() -> None:
    async def go() -> None:
        ticket = Ticket(0)
        for outcome in (b"first", ValueError("second")):
            thread = threading.Thread(target=ticket.deliver, args=(outcome,))
            thread.start()
            thread.join()
        assert await ticket.answer == b"first"
        ticket = Ticket(0)
        ticket.deliver(ValueError("an error"))
        with pytest.raises(ValueError, match="an error"):
            await ticket.answer

    asyncio.run(go())


def test_an_answer_to_a_loop_that_has_closed_cancels_the_ticket() -> None:
    async def go() -> Ticket:
        return Ticket(0)

    ticket = asyncio.run(go())
    ticket.deliver(b"too late")
    assert ticket.is_cancelled
