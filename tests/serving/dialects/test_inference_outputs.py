"""Outputs of the Open Inference Protocol: made of results, joined over images, and encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from yolean.engine.errors import InputError
from yolean.engine.pipeline import Engine
from yolean.engine.results.results import Results
from yolean.models import DEMO_MODELS, demo_images
from yolean.serving.dialects.inference_outputs import OutputCollector, encode_response, outputs_of
from yolean.serving.dialects.open_inference import InferenceResponse
from yolean.serving.dialects.tensor_data import datatype_of

IMAGES = demo_images()[:3]


def collected(engine: Engine, found: list[Results], max_pixels: int = 10**8) -> dict[str, Any]:
    """The outputs of images, which were added from the last to the first."""
    outputs = outputs_of(engine.spec)
    collector = OutputCollector(outputs, len(found), max_pixels)
    for index in reversed(range(len(found))):
        collector.add(index, found[index])
    tensors = dict(zip([output.name for output in outputs], collector.tensors(), strict=True))
    for output in outputs:
        values, metadata = tensors[output.name], output.metadata
        assert datatype_of(values) == output.datatype
        assert len(values.shape) == len(metadata.shape)
        assert all(wanted in (-1, have) for wanted, have in zip(metadata.shape, values.shape, strict=True))
    return tensors


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_outputs_are_those_of_the_results(engines: Mapping[str, Engine], task: str) -> None:
    engine = engines[task]
    found = [engine(path, conf=0.1)[0] for path in IMAGES]
    tensors = collected(engine, found) if task != "semantic" else collected(engine, found[:1] * 3)
    found = found[:1] * 3 if task == "semantic" else found
    np.testing.assert_array_equal(tensors["image_sizes"], [r.orig_shape for r in found])
    if task == "depth":
        np.testing.assert_array_equal(tensors["depth"], [r.depth.at_input for r in found])  # type: ignore[union-attr]
        assert tensors.keys() == {"depth", "image_sizes"}
        return
    index, names = tensors["image_index"], [name.decode() for name in tensors["class_names"]]
    assert names == [found[i].class_name(c) for i, c in zip(index, tensors["classes"], strict=True)]
    for number, results in enumerate(found):
        own = {name: values[index == number] for name, values in tensors.items() if len(values) == len(index)}
        if results.semantic_mask is not None:
            np.testing.assert_array_equal(tensors["semantic_mask"][number], results.semantic_mask.data)
            shares = {c: (results.semantic_mask.data == c).mean() for c in own["classes"]}
            np.testing.assert_allclose(own["pixel_ratios"], list(shares.values()), atol=1e-6)
        elif results.probs is not None:
            np.testing.assert_array_equal(tensors["probabilities"][number], results.probs.data)
            np.testing.assert_array_equal(own["classes"], results.probs.top5)
            np.testing.assert_array_equal(own["scores"], results.probs.top5conf)
        else:
            check_objects(results, own)
            if results.masks is not None:
                rows = np.flatnonzero(index == number)
                outlines = [tensors["mask_points"][tensors["mask_index"] == row] for row in rows]
                assert len(outlines) == len(results.masks)
                for outline, wanted in zip(outlines, results.masks.xy, strict=True):
                    np.testing.assert_array_equal(outline, wanted)


def check_objects(results: Results, own: Mapping[str, Any]) -> None:
    objects = results.obb if results.boxes is None else results.boxes
    assert objects is not None
    assert len(objects) > 0
    np.testing.assert_array_equal(own["scores"], objects.conf)
    np.testing.assert_array_equal(own["classes"], objects.cls)
    if results.obb is not None:
        np.testing.assert_array_equal(own["corners"], results.obb.xyxyxyxy)
    else:
        np.testing.assert_array_equal(own["boxes"], objects.xyxy)
    if results.keypoints is not None:
        np.testing.assert_array_equal(own["keypoints"], results.keypoints.data)


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_nothing_found_is_no_row(engines: Mapping[str, Engine], task: str) -> None:
    (none,) = engines[task](IMAGES[0], conf=1.0)
    (some,) = engines[task](IMAGES[0])
    assert len(collected(engines[task], [none])["scores"]) == 0
    found = collected(engines[task], [none, some, none])
    assert found["image_index"].tolist() == [1] * len(some)
    if task == "segment":
        assert sorted(set(found["mask_index"].tolist())) == list(range(len(some)))


def test_maps_of_different_sizes_and_too_large_ones_are_refused(
    made: Any, engines: Mapping[str, Engine]
) -> None:
    outputs = outputs_of(engines["semantic"].spec)
    small, large = (
        made.results("semantic", shape=shape, class_map=np.zeros(shape, np.uint8))
        for shape in ((4, 6), (8, 6))
    )
    collector = OutputCollector(outputs, 2, 48)
    collector.add(0, small)
    with pytest.raises(InputError, match="semantic_mask: the images are of different sizes"):
        collector.add(1, large)
    collector.add(1, small)
    with pytest.raises(InputError, match=r"semantic_mask: 2 maps of 6x8 pixels are too large.* takes 48"):
        OutputCollector(outputs, 2, 48).add(0, large)
    OutputCollector(outputs, 1, 1).add(0, large)  # one image is as large as an image may be


def test_a_response_is_json_and_what_follows_it() -> None:
    boxes, names = np.ones((1, 4), np.float32), np.array([b"disk"], object)
    body, length = encode_response("a/b", "7", [("boxes", False, boxes), ("class_names", False, names)])
    assert length is None
    assert json.loads(body) == {
        "model_name": "a/b",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "boxes", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 1.0, 1.0, 1.0]},
            {"name": "class_names", "datatype": "BYTES", "shape": [1], "data": ["disk"]},
        ],
    }
    assert msgspec.json.decode(body, type=InferenceResponse).id == "7"
    mixed = [("boxes", True, boxes), ("scores", False, boxes[0]), ("class_names", True, names)]
    body, length = encode_response("m", None, mixed)
    assert length is not None
    head = json.loads(body[:length])
    assert "id" not in head
    assert [output.get("parameters") for output in head["outputs"]] == [
        {"binary_data_size": 16}, None, {"binary_data_size": 8},
    ]  # fmt: skip
    assert ["data" in output for output in head["outputs"]] == [False, True, False]
    assert body[length:] == boxes.tobytes() + b"\x04\x00\x00\x00disk"
