from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from yolean.engine.errors import InputError, ModelError
from yolean.engine.runtime.session import Session
from yolean.models import demo_model

MODEL = demo_model("detect")


@pytest.fixture(scope="module")
def image() -> Any:
    return np.random.default_rng(0).random((1, 3, 96, 128), np.float32)


def broken(tmp_path: Path, kind: Any) -> Any:
    path = tmp_path / "model.onnx"
    data = MODEL.read_bytes()
    content = {
        "empty": b"",
        "text": b"<html>not a model</html>",
        "truncated": data[: len(data) // 2],
        "newer": b"\x08\x63" + data[2:],  # the first field of an ONNX file is its IR version: 99
    }
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "not a usable ONNX model"),
        ("truncated", "not a usable ONNX model"),
        ("newer", f"newer than ONNX Runtime {onnxruntime.__version__}.*update ONNX Runtime"),
    ],
)
def test_unusable_files_are_one_line(tmp_path: Path, kind: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Session(broken(tmp_path, kind), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such names exist on Linux only")
@pytest.mark.parametrize("folder", [b".", b"w\xff"])
def test_weights_beside_a_model_whose_name_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Any, folder: Any
) -> None:
    """ONNX Runtime gets the bytes of such a file: weights of the working directory must not slip in."""
    monkeypatch.chdir(tmp_path)
    place, elsewhere = Path(os.fsdecode(folder)), Path("elsewhere")
    for path in (place, elsewhere):
        path.mkdir(exist_ok=True)
    options: dict[str, Any] = {"save_as_external_data": True, "location": "weights", "size_threshold": 1000}
    onnx.save(onnx.load(MODEL), "m.onnx", **options)
    model = place / os.fsdecode(b"m\xff.onnx")
    os.rename("m.onnx", model)
    wanted = Session(MODEL, "cpu").run(image)
    if folder == b".":
        monkeypatch.chdir(elsewhere)
        np.testing.assert_array_equal(Session(Path("..") / model.name, "cpu").run(image)[0], wanted[0])
    else:  # ONNX Runtime cannot be told to look there
        with pytest.raises(ModelError, match="a path that is valid UTF-8") as caught:
            Session(model, "cpu")
        assert "\n" not in str(caught.value)


def test_weights_and_empty_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"yolean export yolov8n\.pt"):
        Session(tmp_path / "yolov8n.pt")
    with pytest.raises(ModelError, match="empty"):
        Session(b"")
    with pytest.raises(InputError, match="found NoneType"):
        Session(None)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="cannot be read"):
        Session("x" * 5000)
