from __future__ import annotations

import copy
import pickle
from pathlib import Path

import cv2
import pytest
import yolean
from fake_engine import engine
from yolean.models import demo_images, demo_model


def test_a_copy_loads_the_model_again() -> None:
    model = yolean.load(demo_model(), device="cpu", threads=1)
    image = cv2.imread(str(demo_images()[0]))
    expected = model(image, conf=0.5)[0].to_json()
    for other in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert other.session is not model.session
        assert (other.session.threads, other.names) == (1, model.names)
        assert other(image, conf=0.5)[0].to_json() == expected
    given = yolean.load(
        demo_model().read_bytes(), device="cpu", names=[str(i) for i in range(len(model.names))]
    )
    assert pickle.loads(pickle.dumps(given)).names == given.names
    with pytest.raises(TypeError, match=r"not made by yolean\.load"):
        pickle.dumps(engine())


def test_a_model_of_a_relative_path_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "m.onnx").write_bytes(demo_model().read_bytes())
    monkeypatch.chdir(tmp_path)
    packed = pickle.dumps(yolean.load("m.onnx", device="cpu"))
    monkeypatch.chdir("elsewhere")
    assert pickle.loads(packed).task == "detect"


def test_load_names_the_file_that_is_no_yolo() -> None:
    from onnxruntime.datasets import get_example

    with pytest.raises(yolean.ModelError, match=r"sigmoid\.onnx: not a YOLO export"):
        yolean.load(get_example("sigmoid.onnx"), device="cpu")


def test_a_file_that_was_replaced_is_not_mixed_with_the_model_that_was_loaded(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(demo_model().read_bytes())
    model = yolean.load(file, device="cpu", threads=2)
    images = [str(path) for path in demo_images()] * 4
    wanted = [result.to_json() for result in model.stream(images[:2])]
    file.write_bytes(demo_model("pose").read_bytes())
    found = list(model.stream(images))
    assert {result.keypoints for result in found} == {None}
    assert [result.to_json() for result in found[:2]] == wanted
