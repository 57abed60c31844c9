"""The README's figures are those of the recorded results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click import ClickException
from click.testing import CliRunner
from yolean.benchmarks import figures, pages, plots

ROOT = Path(__file__).parents[2]


def test_the_pages_say_what_the_results_say():
    done = CliRunner().invoke(pages.main, ["--root", str(ROOT), "--check"])
    assert done.exit_code == 0, done.output


def test_every_figure_has_its_place():
    asked = {name for page in pages.pages(ROOT) for name in pages.parts(page.read_text(encoding="utf-8"))}
    assert asked == set(figures.PARTS)


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(ROOT / "benchmarks" / "results", tmp_path / "benchmarks" / "results")
    shutil.copytree(ROOT / "docs" / "plots", tmp_path / "docs" / "plots")
    (tmp_path / "README.md").write_text("# no figures\n")
    (tmp_path / "docs" / "deep").mkdir()
    empty = "".join(f"<!-- figures: {name} -->\n<!-- end of figures -->\n" for name in ("intro", "threads"))
    filled = pages.filled(empty, pages.read(ROOT / "benchmarks" / "results"))
    (tmp_path / "docs" / "deep" / "page.md").write_text(filled)
    return tmp_path


@pytest.mark.parametrize("what", ["the text", "a record", "a plot"])
def test_what_is_stale_is_found(checkout, what):
    results = checkout / "benchmarks" / "results"
    if what == "the text":
        page = checkout / "docs" / "deep" / "page.md"
        page.write_text(page.read_text().replace(" MB installed instead of ", " MB less than "))
    elif what == "a record":
        record = json.loads((results / "threads.json").read_text())
        record["rows"] = {name: row | {"images_a_second": 1e4} for name, row in record["rows"].items()}
        (results / "threads.json").write_text(json.dumps(record))
    else:
        (checkout / "docs" / "plots" / "micro.svg").write_text("<svg/>")
    done = CliRunner().invoke(pages.main, ["--root", str(checkout), "--check"])
    assert done.exit_code == 1
    assert ("micro.svg" if what == "a plot" else "page.md") in done.output


def test_a_part_that_nobody_writes_is_an_error():
    with pytest.raises(ClickException, match="figures: weather: expected one of intro"):
        pages.filled("<!-- figures: weather -->\n<!-- end of figures -->", {})
    with pytest.raises(ClickException, match="the results lack 'peers'"):
        pages.filled("<!-- figures: intro -->\n<!-- end of figures -->", {})


def test_another_folder_is_no_checkout(tmp_path):
    done = CliRunner().invoke(pages.main, ["--root", str(tmp_path), "--check"])
    assert done.exit_code == 1
    assert "is no checkout of yolean" in done.output


def test_a_plot_knows_its_record(tmp_path):
    target = tmp_path / "p.svg"
    assert not plots.shows(target, {"a": 1})
    target.write_text(f"<svg>data {plots.digest({'a': 1, 'b': 2})}</svg>")
    assert plots.shows(target, {"b": 2, "a": 1})
    assert not plots.shows(target, {"a": 2, "b": 2})


@pytest.mark.slow
def test_plots_are_drawn_from_the_records(checkout):
    for name, draw in pages.PLOTS.items():
        record = json.loads((checkout / "benchmarks" / "results" / f"{name}.json").read_text())
        target = checkout / f"{name}.svg"
        draw(record, target)
        assert plots.shows(target, record)
        assert target.read_bytes().count(b"<path") > 20
