"""One table for terminal and pages."""

from __future__ import annotations

import pytest
from yolean.benchmarks.tables import WIDTH, Table, median, median_iqr, printable
from yolean.measurement.summary import Quartiles

TABLE = Table(["", "ms\nan image", "text"], [["a", "1.0", "x"], ["b\x1b[2J", "2.0", "y"]], frozenset({0, 2}))


def test_markdown() -> None:
    table = Table(TABLE.headings, TABLE.rows[:1], TABLE.texts, notes=["a note"])
    assert table.markdown() == (
        "|  | ms an image | text |\n| --- | ---: | --- |\n| a | 1.0 | x |\n\na note\n"
    )


def test_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Table(TABLE.headings, TABLE.rows, TABLE.texts, "a title", ["a note"], {0}).show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "a title"
    assert lines[-1] == "a note"
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= WIDTH


def test_figures_as_text() -> None:
    found = Quartiles(1.054, 1.0, 1.1)
    assert median_iqr(found) == "1.05 (1.00-1.10)"
    assert (median(found, ".1f"), median(None, ".1f")) == ("1.1", "-")
    assert printable("a\nb") == "a\\nb"
