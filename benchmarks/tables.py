"""One kind of table for the terminal and for Markdown pages, and the paragraphs around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ..measurement.summary import Quartiles
from .record_base import PerformanceTarget, Record

WIDTH = 132
"""Columns of a table where the output is no terminal."""

UNKNOWN = "-"


@dataclass
class Table:
    """Rows of text under headings.

    Attributes:
        headings: of the columns.
        rows: as many cells each.
        texts: numbers of the columns that hold text, which are aligned left; the others are numbers.
        title: a line above it on the terminal.
        notes: lines below it: what was not measured, and what a reader has to know.
        sections: numbers of the rows after which a line is drawn on the terminal.
    """

    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    texts: frozenset[int] = frozenset({0})
    title: str = ""
    notes: list[str] = field(default_factory=list)
    sections: set[int] = field(default_factory=set)

    def markdown(self) -> str:
        """As Markdown, each note a paragraph below."""
        marks = ["---" if column in self.texts else "---:" for column in range(len(self.headings))]
        lines = [[heading.replace("\n", " ") for heading in self.headings], marks, *self.rows]
        table = "\n".join(
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
        )
        return "\n\n".join([table, *self.notes]) + "\n"

    def show(self) -> None:
        """Print it to standard output."""
        table = RichTable(box=SIMPLE_HEAD, pad_edge=False)
        for column, heading in enumerate(self.headings):
            if column in self.texts:
                table.add_column(heading, overflow="fold")
            else:
                table.add_column(heading, justify="right", no_wrap=True)
        for number, row in enumerate(self.rows):
            cells = [Text(printable(cell)) for cell in row]
            table.add_row(*cells, end_section=number in self.sections)
        console = Console(highlight=False, markup=False, emoji=False)
        if not console.is_terminal:
            console.width = WIDTH
        if self.title:
            console.print(Text(printable(self.title), "bold"), soft_wrap=True)
        console.print(table)
        for note in self.notes:
            console.print(Text(printable(note)), soft_wrap=True)


def printable(text: str) -> str:
    """`text` with control characters and what is no text escaped: names of files and classes are not ours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def median_iqr(found: Quartiles, form: str = ".2f") -> str:
    """`1.05 (1.02-1.09)`: the median and the quartiles."""
    return f"{found.median:{form}} ({found.q1:{form}}-{found.q3:{form}})"


def median(found: Quartiles | None, form: str) -> str:
    """The median, or a dash where there is none."""
    return UNKNOWN if found is None else format(found.median, form)


def prose(text: str) -> str:
    """A paragraph in lines."""
    return fill(text, 130, break_long_words=False, break_on_hyphens=False)


def target_list(targets: Iterable[PerformanceTarget]) -> str:
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
