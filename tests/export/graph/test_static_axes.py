"""Height and width are fixed, and the batch stays free."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import yolean
from export_runs import PLAIN
from yolean.engine.errors import InputError
from yolean.export.graph.static_axes import fix_sides
from yolean.models import demo_images

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "size"), [("shapes-seg", (320, 320)), ("shapes-pose", (192, 320)), ("shapes-cls", (128, 128))]
)
def test_sides_are_fixed_and_the_batch_stays_free(tmp_path: Path, name: str, size: Any) -> None:
    path = tmp_path / "fixed.onnx"
    shutil.copy(PLAIN / f"{name}.onnx", path)
    fix_sides(path, size)
    model = onnx.load(path)
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_value for axis in axes] == [0, 3, *size]
    for output in model.graph.output:
        assert all(axis.dim_value for axis in output.type.tensor_type.shape.dim[1:])
    engine = yolean.load(path, device="cpu")
    assert (engine.spec.dynamic, engine.spec.batch, engine.spec.imgsz) == (False, None, size)
    images = [str(path) for path in demo_images()[:3]]
    together, alone = engine(images, batch=3), [engine(path)[0] for path in images]
    assert [result.tensor_shape for result in together] == [size] * 3
    assert [len(result) for result in together] == [len(result) for result in alone]
    with pytest.raises(InputError, match="static export"):
        engine(images[0], imgsz=64)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert "'dynamic': False" in entries["args"]
