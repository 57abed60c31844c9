"""The figures of the pages are those of the recorded results, and say what these hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from click import ClickException
from click.testing import CliRunner
from yolean.benchmarks import figures, pages, plots, records
from yolean.benchmarks.records import RecordedResults
from yolean.benchmarks.tables import median_iqr

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def markers(*names: str) -> str:
    return "".join(f"<!-- figures: {name} -->\n<!-- end of figures -->\n" for name in names)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with figures on a page in a folder below docs/."""
    shutil.copytree(RESULTS, tmp_path / "benchmarks" / "results")
    shutil.copytree(ROOT / "docs" / "plots", tmp_path / "docs" / "plots")
    (tmp_path / "README.md").write_text("# no figures\n")
    (tmp_path / "docs" / "deep").mkdir()
    text = pages.filled(markers("intro", "threads"), RecordedResults(RESULTS))
    (tmp_path / "docs" / "deep" / "page.md").write_text(text)
    return tmp_path


def test_the_pages_of_this_repository_are_up_to_date() -> None:
    done = CliRunner().invoke(pages.main, ["--root", str(ROOT), "--check"])
    assert done.exit_code == 0, done.output


def test_every_part_stands_on_a_page() -> None:
    named = {name for page in pages.pages(ROOT) for name in pages.parts(page.read_text(encoding="utf-8"))}
    assert named == set(figures.PARTS)


@pytest.mark.parametrize("stale", ["text", "record", "plot"])
def test_what_is_stale_is_found(checkout: Path, stale: str) -> None:
    results, page = checkout / "benchmarks" / "results", checkout / "docs" / "deep" / "page.md"
    if stale == "text":
        page.write_text(page.read_text().replace(" MB installed instead of ", " MB less than "))
    elif stale == "record":
        record = RecordedResults(results).threads
        records.write(msgspec.structs.replace(record, cores=64), results / "threads.json")
    else:
        (checkout / "docs" / "plots" / "micro.svg").write_text("<svg/>")
    done = CliRunner().invoke(pages.main, ["--root", str(checkout), "--check"])
    assert done.exit_code == 1
    assert ("micro.svg" if stale == "plot" else "page.md") in done.output


def test_pages_are_written(checkout: Path) -> None:
    page = checkout / "docs" / "deep" / "page.md"
    wanted = page.read_text()
    page.write_text("before\n" + markers("intro", "threads"))
    done = CliRunner().invoke(pages.main, ["--root", str(checkout)])
    assert done.exit_code == 0, done.output
    assert page.read_text() == "before\n" + wanted


def test_a_part_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClickException, match="figures: weather: expected one of intro"):
        pages.filled(markers("weather"), RecordedResults(RESULTS))
    with pytest.raises(ClickException, match=r"threads\.json: .*No such file"):
        pages.filled(markers("threads"), RecordedResults(tmp_path))


def test_another_folder_is_no_checkout(tmp_path: Path) -> None:
    done = CliRunner().invoke(pages.main, ["--root", str(tmp_path), "--check"])
    assert done.exit_code == 1
    assert "is no checkout of yolean" in done.output


# ---- what the parts say -----------------------------------------------------------------------------------


def test_every_part_can_be_written() -> None:
    for part in figures.PARTS.values():
        text = part(RecordedResults(RESULTS))
        assert any(character.isdigit() for character in text)
        assert "None" not in text
        assert "nan" not in text


def test_a_refused_int8_file_is_marked_with_the_reason() -> None:
    results = RecordedResults(RESULTS)
    for part in ("peers", "optimized"):
        text = " ".join(figures.PARTS[part](results).split())
        for model in results.peers.models:
            for file in model.optimized:
                for problem in file.problems:
                    assert f"refuses the INT8 file of {model.task} unless `--force` is given" in text
                    assert problem in text


def test_notes_of_a_record_are_shown_where_its_figures_are() -> None:
    results = RecordedResults(RESULTS)
    results.peers = msgspec.structs.replace(results.peers, notes=["joined from two runs"])
    for part in ("setting", "peers", "optimized"):
        assert "Note: joined from two runs." in figures.PARTS[part](results)
    results.serve = msgspec.structs.replace(results.serve, notes=["on a busy machine"])
    assert "Note: on a busy machine." in figures.PARTS["serve"](results)


def test_parity_claims_the_models_of_its_record() -> None:
    results = RecordedResults(RESULTS)
    first = msgspec.structs.replace(results.parity.models[0], reference_version="9.9")
    results.parity = msgspec.structs.replace(
        results.parity, models=[first, *results.parity.models[1:3]], not_compared={"a.onnx": "broken"}
    )
    text = " ".join(figures.PARTS["parity"](results).split())
    for row in results.parity.models:
        assert row.model in text
    assert "3 exports" in text
    assert "Ultralytics 9.9" in text
    assert "Not compared: a.onnx." in text


def test_targets_are_shown_with_their_outcome() -> None:
    results = RecordedResults(RESULTS)
    text = figures.PARTS["micro"](results)
    for target in results.micro.targets:
        assert f"{median_iqr(target.measured)}, {target.bound} {target.limit:g}: {target.outcome}" in text


def test_a_plot_knows_its_record(tmp_path: Path) -> None:
    record = RecordedResults(RESULTS).threads
    plot = tmp_path / "p.svg"
    assert not plots.shows(plot, record)
    plot.write_text(f"<svg>data {plots.digest(record)}</svg>")
    assert plots.shows(plot, record)
    assert not plots.shows(plot, msgspec.structs.replace(record, cores=64))


@pytest.mark.slow
@pytest.mark.parametrize("name", pages.PLOTS)
def test_plots_are_drawn_from_the_records(tmp_path: Path, name: str) -> None:
    record = records.read(RESULTS / f"{name}.json")
    plot = tmp_path / f"{name}.svg"
    plots.draw(record, plot)
    assert plots.shows(plot, record)
    assert plot.read_bytes().count(b"<path") > 20
