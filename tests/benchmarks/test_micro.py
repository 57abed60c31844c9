from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from yolean.benchmarks import micro, micro_cases
from yolean.benchmarks.micro import main, measure, targets, too_slow
from yolean.benchmarks.micro_cases import OPTIONS, PARTS, YOLEAN, Case
from yolean.benchmarks.micro_inputs import CONF, crowded, crowded_rotated, head, mask_inputs, sparse
from yolean.postprocess.nms import nms


@pytest.fixture
def few(monkeypatch):
    """The smaller inputs of each part."""
    monkeypatch.setattr(micro_cases, "COUNTS", (100, 1000))
    monkeypatch.setattr(micro_cases, "OBJECTS", (1, 20))
    monkeypatch.setattr(micro_cases, "IMAGES", ((640, 480), (810, 1080)))


def answers(part):
    """Of every way of every case: what it is, yolean's answer, and how far this way's agrees with it."""
    for case in PARTS[part]():
        ways = {name: way() for name, way in case.ways.items() if not isinstance(way, str)}
        for name, answer in ways.items():
            if name != YOLEAN:
                yield case, name, case.agree(ways[YOLEAN], answer)


@pytest.mark.parametrize(("part", "least"), [("nms", 1.0), ("masks", 0.999)])
@pytest.mark.usefixtures("few")
def test_all_ways_give_the_same_answers(part, least):
    found = list(answers(part))
    assert len({name for _, name, _ in found}) == {"nms": 3, "masks": 1}[part]
    assert [(name, value) for _, name, value in found if value < least] == []


@pytest.mark.usefixtures("few")
def test_letterboxed_tensors_are_equal_but_for_rounding():
    differences = {name: value for _, name, value in answers("letterbox")}
    assert differences["transpose, astype"] == 0
    assert 0 <= differences["cv2 blobFromImage"] < 1e-6


@pytest.mark.usefixtures("few")
def test_rotated_boxes_fall_as_in_the_matrix_of_all_pairs():
    found = list(answers("rotated"))
    assert {value for _, name, value in found if name == "numpy, all pairs"} == {1.0}
    crowd = [v for case, name, v in found if name == "cv2 NMSBoxesRotated" and case.case == "crowded"]
    assert all(0.3 < value < 1 for value in crowd)  # another criterion


def test_agreement_is_below_one_where_answers_differ():
    assert micro_cases._in_common([1, 2, 3, 4], np.array([4, 3, 9])) == 0.5
    assert micro_cases._boxes_in_common(np.zeros((2, 4)), np.array([[0.0] * 4, [5.0] * 4])) == 0.5
    assert micro_cases._boxes_in_common(np.zeros((2, 4)), np.zeros((1, 4))) == 0


def test_a_crowd_is_as_crowded_as_told():
    crowd, loose = crowded(1000), sparse(1000)
    many = OPTIONS.__class__(conf=CONF, max_det=1000)
    assert 125 <= len(nms(crowd.boxes, crowd.scores, crowd.classes, many)) <= 270
    assert len(nms(loose.boxes, loose.scores, loose.classes, many)) == 1000
    assert min(crowd.scores.min(), loose.scores.min()) > CONF
    np.testing.assert_array_equal(crowd.boxes, crowded(1000).boxes)  # seeded
    assert crowded_rotated(50).boxes.shape == (50, 5)


def test_a_head_decodes_to_its_candidates():
    crowd = crowded(300)
    scores = head(crowd)[4:]
    np.testing.assert_array_equal(scores.argmax(axis=0), crowd.classes)
    np.testing.assert_array_equal(scores.max(axis=0), crowd.scores)
    assert ((scores > CONF).sum(axis=0) == 1).all()


def test_objects_with_masks_lie_in_the_image():
    coefficients, prototypes, boxes = mask_inputs(300)
    assert coefficients.shape == (300, 32)
    assert prototypes.dtype == np.float32
    assert boxes.min() >= 0
    assert boxes.max() <= 640
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    assert 11 < sides.min() < 16
    assert 250 < sides.max() < 321


def case_of(count, **ways):
    return Case(
        "nms", "crowded", count, {YOLEAN: list, **ways}, "lists in common", lambda a, b: float(a == b)
    )


def test_rows_hold_times_ratios_and_agreement():
    other, another = measure(case_of(5, wrong=lambda: [1], unable="no room"), 0.01, {})[1:]
    assert other["agreement"] == {"of": "lists in common", "value": 0.0}
    assert other["rounds"] >= 3
    assert other["ms"]["quarter"] <= other["ms"]["median"] <= other["ms"]["three_quarters"]
    assert another == {
        "part": "nms",
        "case": "crowded",
        "count": 5,
        "side": "unable",
        "not_measured": "no room",
    }


def test_what_would_take_too_long_is_left_out_with_a_reason():
    def row(side, **more):
        return {"part": "nms", "case": "crowded", "count": 100, "side": side} | more

    before = [
        row(YOLEAN, ms={"median": 9e9}),
        row("slow", ms={"median": 50.0}),
        row("fast", ms={"median": 0.5}),
    ]
    case = case_of(1000, slow=list, fast=list)
    assert too_slow(case, before, 1.0) == {"slow": "a run might take 5.0 s"}
    assert too_slow(
        case_of(1000, slow=list), [row(YOLEAN, ms={"median": 1}), row("slow", not_measured="why")], 1
    ) == {"slow": "why"}
    assert measure(case, 0.01, {"slow": "why"})[1]["not_measured"] == "why"


@pytest.mark.parametrize(("median", "kept"), [(59.9, True), (60.1, False)])
def test_targets_say_whether_they_were_kept(median, kept):
    ms = {"median": median, "quarter": 1.0, "three_quarters": 99.0}
    row = {"part": "masks", "case": "mixed", "count": 300, "side": YOLEAN, "ms": ms}
    (found,) = targets([row, row | {"side": "whole frames"}, row | {"count": 50}])
    assert found == {
        "name": "masks of 300 objects at 640 with outlines, ms", "limit": 60.0, "measured": ms, "kept": kept
    }  # fmt: skip


@pytest.mark.usefixtures("few")
def test_the_command_prints_tables_and_records(tmp_path):
    target = tmp_path / "micro.json"
    done = CliRunner().invoke(main, ["--only", "masks,nms", "--seconds", "0.01", "--json", str(target)])
    assert done.exit_code == 0, done.output
    assert "cv2 NMSBoxesBatched" in done.output
    assert "by cv2.dnn.NMSBoxes" in done.output
    assert max(map(len, done.output.splitlines())) <= 130
    record = json.loads(target.read_text())
    assert record["how"]["opencv_threads"] == 1
    assert record["how"]["parts"] == ["nms", "masks"]
    counts = [row["count"] for row in record["rows"] if (row["side"], row["case"]) == (YOLEAN, "crowded")]
    assert all(a < b for a, b in pairwise(counts))
    assert {"name", "limit", "measured", "kept"} == set(record["targets"][0])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "nms,boxes"], "'boxes': expected some of nms,decode,rotated,masks,letterbox"),
        (["--seconds", "0"], "0.0 is not in the range x>0"),
        (["--plot", "plot.jpg"], "expected a name that ends with .svg or .png"),
    ],
)
def test_mistakes_are_one_line(arguments, told):
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_opencv_gets_its_threads_back():
    before = micro.cv2.getNumThreads()
    with micro.one_thread():
        assert micro.cv2.getNumThreads() == 1
    assert micro.cv2.getNumThreads() == before


@pytest.mark.slow  # matplotlib
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_plot_is_drawn_from_the_record(tmp_path, kind):
    from yolean.benchmarks.plots import shows

    target, drawing = tmp_path / "micro.json", tmp_path / f"micro.{kind}"
    arguments = [
        "--seconds",
        "0.01",
        "--only",
        "nms,letterbox",
        "--json",
        str(target),
        "--plot",
        str(drawing),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert shows(drawing, json.loads(target.read_text()))
