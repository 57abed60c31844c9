"""The README's figures, written from the recorded results: `python -m yolean.benchmarks readme`.

A part of the README between `<!-- figures: NAME -->` and `<!-- end of figures -->` is what the function NAME
in `figures.py` makes of `benchmarks/results/*.json`, and the plots beside these files are drawn from them.
With --check nothing is written, and the exit status is 1 where a number or a plot is not what its file says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from . import bars, figures, micro_plot, serve_plot
from .plots import shows

_PART = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
_RESULTS = Path("benchmarks") / "results"
PLOTS: dict[str, Callable[[Any, Path], None]] = {
    "peers": bars.draw,
    "serve": serve_plot.draw,
    "micro": micro_plot.draw,
}
"""What draws the plot of a record of this name."""


def read(results: Path) -> dict[str, Any]:
    """All records, by name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))
    }


def filled(text: str, records: dict[str, Any]) -> str:
    """The README with every part written anew.

    Raises:
        click.ClickException: a part that nobody can write, or whose record is missing.
    """

    def part(match: re.Match[str]) -> str:
        write = figures.PARTS.get(match[2])
        if write is None:
            raise click.ClickException(f"figures: {match[2]}: expected one of {', '.join(figures.PARTS)}")
        try:
            return f"{match[1]}{write(records).strip()}\n{match[3]}"
        except (KeyError, StopIteration) as exc:
            raise click.ClickException(f"figures: {match[2]}: the results lack {exc}") from exc

    return _PART.sub(part, text)


@click.command()
@click.option("--root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(),
              help="The checkout; else the current folder.")  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if something would change.")
def main(root: Path, check: bool) -> None:
    """Write the README's figures and plots from the recorded results."""
    readme = root / "README.md"
    if not readme.is_file() or not (root / _RESULTS).is_dir():
        raise click.ClickException(f"{root.resolve()} is no checkout of yolean: name one with --root")
    records = read(root / _RESULTS)
    text = readme.read_text(encoding="utf-8")
    wanted = filled(text, records)
    stale = [] if text == wanted else [readme]
    for name, draw in PLOTS.items():
        target = root / _RESULTS / f"{name}.svg"
        if not shows(target, records[name]):
            stale.append(target)
            if not check:
                draw(records[name], target)
    if check and stale:
        names = ", ".join(str(path) for path in stale)
        raise click.ClickException(
            f"not what the results say: {names}; run python -m yolean.benchmarks readme"
        )
    if not check:
        readme.write_text(wanted, encoding="utf-8")
    click.echo(
        "The README says what the results say." if not stale else f"Wrote {', '.join(map(str, stale))}"
    )
