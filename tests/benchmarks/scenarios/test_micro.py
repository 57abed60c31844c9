"""`micro`: implementations agree, times and reasons are recorded, targets are judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from yolean.benchmarks import plots, records
from yolean.benchmarks.load_records import MicroAgreement, MicroNotMeasured, MicroRecord, MicroResult
from yolean.benchmarks.record_base import YOLEAN
from yolean.benchmarks.scenarios import micro_cases
from yolean.benchmarks.scenarios.micro import main, measure, one_thread, targets, too_slow
from yolean.benchmarks.scenarios.micro_cases import OPTIONS, PARTS, Case
from yolean.benchmarks.scenarios.micro_inputs import (
    CONF,
    crowded,
    crowded_rotated,
    head,
    mask_inputs,
    sparse,
)
from yolean.measurement.summary import Quartiles
from yolean.postprocess.nms import nms


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smaller inputs of each part."""
    monkeypatch.setattr(micro_cases, "COUNTS", (100, 500))
    monkeypatch.setattr(micro_cases, "OBJECTS", (1, 20))
    monkeypatch.setattr(micro_cases, "IMAGES", ((640, 480), (810, 1080)))


def answers(part: str) -> Iterator[tuple[Case, str, float]]:
    """Of every other implementation of every case: how far its answer agrees with yolean's."""
    for case in PARTS[part]():
        found = {name: run() for name, run in case.implementations.items() if not isinstance(run, str)}
        for name, answer in found.items():
            if name != YOLEAN:
                yield case, name, case.agree(found[YOLEAN], answer)


@pytest.mark.parametrize(("part", "least"), [("nms", 1.0), ("masks", 0.999)])
@pytest.mark.usefixtures("few")
def test_all_implementations_give_the_same_answers(part: str, least: float) -> None:
    found = list(answers(part))
    assert len({name for _, name, _ in found}) == {"nms": 3, "masks": 1}[part]
    assert [(name, value) for _, name, value in found if value < least] == []


@pytest.mark.usefixtures("few")
def test_letterboxed_tensors_are_equal_but_for_rounding() -> None:
    differences = {name: value for _, name, value in answers("letterbox")}
    assert differences["transpose, astype"] == 0
    assert 0 <= differences["cv2 blobFromImage"] < 1e-6


@pytest.mark.usefixtures("few")
def test_rotated_boxes_fall_as_in_the_matrix_of_all_pairs() -> None:
    found = list(answers("rotated"))
    assert {value for _, name, value in found if name == "numpy, all pairs"} == {1.0}
    values = [v for case, name, v in found if name == "cv2 NMSBoxesRotated" and case.case == "crowded"]
    assert all(0.3 < value < 1 for value in values)  # another criterion


def test_crowded_candidates_overlap_and_sparse_ones_do_not() -> None:
    dense, loose = crowded(1000), sparse(1000)
    many = replace(OPTIONS, max_det=1000)
    assert 125 <= len(nms(dense.boxes, dense.scores, dense.classes, many)) <= 270
    assert len(nms(loose.boxes, loose.scores, loose.classes, many)) == 1000
    assert min(dense.scores.min(), loose.scores.min()) > CONF
    np.testing.assert_array_equal(dense.boxes, crowded(1000).boxes)  # seeded
    assert crowded_rotated(50).boxes.shape == (50, 5)


def test_a_head_decodes_to_its_candidates() -> None:
    dense = crowded(300)
    scores = head(dense)[4:]
    np.testing.assert_array_equal(scores.argmax(axis=0), dense.classes)
    np.testing.assert_array_equal(scores.max(axis=0), dense.scores)
    assert ((scores > CONF).sum(axis=0) == 1).all()


def test_objects_with_masks_lie_in_the_image() -> None:
    coefficients, prototypes, boxes = mask_inputs(300)
    assert coefficients.shape == (300, 32)
    assert prototypes.dtype == np.float32
    assert boxes.min() >= 0
    assert boxes.max() <= 640
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    assert 11 < sides.min() < 16
    assert 250 < sides.max() < 321


def case_of(count: int, **implementations: Any) -> Case:
    found = {YOLEAN: list, **implementations}
    return Case("nms", "crowded", count, found, "lists in common", lambda a, b: float(a == b))


def result(
    implementation: str, ms: Quartiles, part: str = "nms", case: str = "crowded", count: int = 100
) -> MicroResult:
    one = Quartiles(1, 1, 1)
    return MicroResult(part, case, count, implementation, ms, ms.q1, 3, 1, one, one, None)


def test_results_hold_times_ratios_and_agreement() -> None:
    results, missing = measure(case_of(5, wrong=lambda: [1], unable="no room"), 0.01, {})
    own, other = results
    assert own.agreement is None
    assert other.agreement == MicroAgreement("lists in common", 0.0)
    assert other.repetitions >= 3
    assert other.milliseconds.q1 <= other.milliseconds.median <= other.milliseconds.q3
    assert missing == [MicroNotMeasured("nms", "crowded", 5, "unable", "no room")]


def test_what_would_take_too_long_is_left_out_with_a_reason() -> None:
    before = [
        result(name, Quartiles(ms, ms, ms)) for name, ms in ((YOLEAN, 9e9), ("slow", 50.0), ("fast", 0.5))
    ]
    case = case_of(1000, slow=list, fast=list)
    assert too_slow(case, before, [], 1.0) == {"slow": "a run might take 5.0 s"}
    earlier = [MicroNotMeasured("nms", "crowded", 100, "slow", "why")]
    assert too_slow(case, before[:1], earlier, 1.0) == {"slow": "why"}
    assert [each.reason for each in measure(case, 0.01, {"slow": "why"})[1]] == ["why"]


def test_targets_are_judged_by_their_own_results() -> None:
    def masks(name: str, count: int) -> MicroResult:
        return result(name, Quartiles(55, 50, 61), "masks", "mixed", count)

    (found,) = targets([masks(YOLEAN, 300), masks("whole frames", 300), masks(YOLEAN, 50)])
    assert (found.name, found.limit) == ("masks of 300 objects at 640 with outlines, ms", 60.0)
    assert found.outcome == "within noise"


@pytest.mark.usefixtures("few")
def test_the_command_prints_tables_and_records(tmp_path: Path) -> None:
    file = tmp_path / "micro.json"
    done = CliRunner().invoke(main, ["--only", "masks", "--seconds", "0.01", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "whole frames" in done.output
    record = records.read(file)
    assert isinstance(record, MicroRecord)
    assert record.settings.parts == ["masks"]
    assert [row.count for row in record.results if row.implementation == YOLEAN] == [1, 20]


def test_mistakes_are_one_line() -> None:
    rows: list[tuple[list[str], str]] = [
        (["--only", "nms,boxes"], "'boxes': expected some of nms,decode,rotated,masks,letterbox"),
        (["--seconds", "0"], "0.0 is not in the range x>0"),
        (["--plot", "plot.jpg"], "expected a name that ends with .svg or .png"),
    ]
    for arguments, words in rows:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert words in " ".join(done.output.split())


def test_opencv_gets_its_threads_back() -> None:
    before = cv2.getNumThreads()
    with one_thread():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


@pytest.mark.slow  # matplotlib
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_plot_is_drawn_from_the_record(tmp_path: Path, kind: str) -> None:
    file, plot = tmp_path / "micro.json", tmp_path / f"micro.{kind}"
    words = ["--seconds", "0.01", "--only", "nms,letterbox", "--json", str(file), "--plot", str(plot)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert plots.shows(plot, records.read(file))
