"""Paragraphs of pages: wrapped lines, targets with their outcome, where a record comes from."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill

from .record_base import Record, Target
from .tables import median_iqr


def prose(text: str) -> str:
    """A paragraph in lines."""
    return fill(text, 130, break_long_words=False, break_on_hyphens=False)


def target_list(targets: Iterable[Target]) -> str:
    """A list; a target is kept only where the whole IQR lies on the right side of its limit."""
    return "\n".join(
        f"- {each.name}: {median_iqr(each.measured)}, {each.bound} {each.limit:g}: {each.outcome}"
        for each in targets
    )


def provenance(record: Record) -> str:
    """The machine and the commit of a record, and its notes."""
    machine = record.machine
    where = prose(
        f"Recorded at commit {machine.commit or 'unknown'} on {machine.usable_cores} cores of "
        f"{machine.processor} ({', '.join(machine.features)}), ONNX Runtime "
        f"{machine.versions.get('onnxruntime', 'unknown')}, Python {machine.python}."
    )
    return "\n\n" + "\n\n".join([where, *record_notes(record)])


def record_notes(record: Record) -> list[str]:
    return [prose(f"Note: {note}.") for note in record.notes]
