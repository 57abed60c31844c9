"""Models in stores: which entries of YOLEAN_MODELS name one. `test_ray_replicas` has a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
from yolean.engine.errors import InputError
from yolean.replicas.stored_models import fetch_models, store_address


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("s3://bucket/models", "s3://bucket/models"),
        ("doors=s3://bucket/best.onnx", "s3://bucket/best.onnx"),
        ("s3://bucket/of=models/x.onnx", "s3://bucket/of=models/x.onnx"),
        ("/models", None),
        ("doors=/models/best.onnx", None),
        ("", None),
    ],
)
def test_an_address_has_a_scheme(entry: str, address: str | None) -> None:
    assert store_address(entry) == address


def test_paths_stay_as_they_are(tmp_path: Path) -> None:
    for models in ("", "/models", "/a.onnx:/b.onnx", "a=/a.onnx\n/b\n"):
        assert fetch_models(models, tmp_path) == models
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ftp://host/models: expected a path or one of s3"):
        fetch_models("/models\nftp://host/models", tmp_path)
