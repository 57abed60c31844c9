from __future__ import annotations

from pathlib import Path

import pytest
import yolean
from yolean.engine.results.yolo_text import yolo_lines
from yolean.models import demo_images, demo_model


def found(task: str) -> yolean.Results:
    image = next(path for path in demo_images() if path.stem == ("star" if task == "classify" else "shapes"))
    return yolean.load(demo_model(task), device="cpu")(image)[0]


@pytest.mark.parametrize(("task", "values"), [("detect", 5), ("pose", None), ("obb", 9), ("segment", None)])
def test_an_object_a_line_from_zero_to_one(task: str, values: int | None) -> None:
    result = found(task)
    lines = yolo_lines(result)
    assert len(lines) == len(result) > 1
    for line, scored in zip(lines, yolo_lines(result, save_conf=True), strict=True):
        assert scored.startswith(line)
        assert 0.25 < float(scored[len(line) :]) <= 1
        numbers = [float(part) for part in line.split()]
        assert all(-0.1 <= number <= 1.1 for number in numbers[1:])
        assert values in (None, len(numbers))
    objects = result.boxes if result.obb is None else result.obb
    assert objects is not None
    assert [int(line.split()[0]) for line in lines] == objects.cls.tolist()


def test_boxes_are_centre_and_size() -> None:
    result = found("detect")
    assert result.boxes is not None
    expected = "{:g} {:g} {:g} {:g}".format(*result.boxes.xywhn[0].tolist())
    assert yolo_lines(result)[0] == f"{result.boxes.cls[0]} {expected}"


def test_a_classification_has_probabilities_and_names() -> None:
    lines = yolo_lines(found("classify"))
    assert next(line.split()[1] for line in lines) == "star"


def test_files_grow_and_are_not_made_for_nothing(tmp_path: Path) -> None:
    result = found("detect")
    target = tmp_path / "labels" / "shapes.txt"
    assert result.save_txt(target) == result.save_txt(target) == str(target)
    assert len(target.read_text(encoding="utf-8").splitlines()) == 2 * len(result)
    empty = yolean.load(demo_model(), device="cpu")(demo_images()[0], classes=[])[0]
    assert empty.save_txt(tmp_path / "none.txt") == str(tmp_path / "none.txt")
    assert not (tmp_path / "none.txt").exists()
    with pytest.raises(yolean.InputError, match="cannot write"):
        result.save_txt(target / "below.txt")
