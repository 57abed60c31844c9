"""Figures of README.md and docs/, written from the recorded results: `python -m yolean.benchmarks readme`.

The part of a page between `<!-- figures: NAME -->` and `<!-- end of figures -->` is what the function NAME of
`figures.py` makes of `benchmarks/results/*.json`. A name may stand on several pages. The plots in
`docs/plots` are drawn from the same files. With --check nothing is written, and the exit status is 1 where a
part or a plot is not what its record says.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from . import figures, plots, records
from .records import RecordedResults

_PART = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
_RESULTS = Path("benchmarks") / "results"
_PLOTS = Path("docs") / "plots"
PLOTS = ("peers", "serve", "micro")
"""Names of the records that have a plot."""


def pages(root: Path) -> list[Path]:
    """README.md and the Markdown files below docs/ of a checkout."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def parts(text: str) -> list[str]:
    """Names of the parts that a page asks for, in order."""
    return [match[2] for match in _PART.finditer(text)]


def filled(text: str, results: RecordedResults) -> str:
    """A page with every part written anew.

    Raises:
        click.ClickException: there is no part of that name, or its record is missing.
    """

    def part(match: re.Match[str]) -> str:
        write = figures.PARTS.get(match[2])
        if write is None:
            raise click.ClickException(f"figures: {match[2]}: expected one of {', '.join(figures.PARTS)}")
        return f"{match[1]}{write(results).strip()}\n{match[3]}"

    return _PART.sub(part, text)


@click.command()
@click.option("--root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(),
              help="The checkout; else the current folder.")  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if something would change.")
def main(root: Path, check: bool) -> None:
    """Write the figures and plots of README.md and docs/ from the recorded results."""
    if not (root / "README.md").is_file() or not (root / _RESULTS).is_dir():
        raise click.ClickException(f"{root.resolve()} is no checkout of yolean: name one with --root")
    results = RecordedResults(root / _RESULTS)
    stale = []
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        wanted = filled(text, results)
        if text != wanted:
            stale.append(page)
            if not check:
                page.write_text(wanted, encoding="utf-8")
    for name in PLOTS:
        target = root / _PLOTS / f"{name}.svg"
        record = records.read(root / _RESULTS / f"{name}.json")
        if not plots.shows(target, record):
            stale.append(target)
            if not check:
                target.parent.mkdir(parents=True, exist_ok=True)
                plots.draw(record, target)
    names = ", ".join(str(path) for path in stale)
    if check and stale:
        raise click.ClickException(
            f"not what the results say: {names}; run python -m yolean.benchmarks readme"
        )
    click.echo(f"Wrote {names}" if stale else "The pages say what the results say.")
