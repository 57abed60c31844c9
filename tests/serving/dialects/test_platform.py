"""Answers of Ultralytics Platform: its exact format for all tasks, with the numbers that `Results` have."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import yolean
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS
from yolean.serving.dialects.hub_v2 import HUB_V2
from yolean.serving.dialects.platform import PLATFORM, class_names, image, metadata
from yolean.serving.model_registry import LoadedModel
from yolean.serving.schemas import encode

TASKS = pytest.mark.parametrize("task", PLATFORM.tasks)
MODEL = LoadedModel(
    "acme/doors/best",
    Path("best.onnx"),
    "0",
    {1: cast("Engine", SimpleNamespace(task="detect", names={0: "a", 1: "b"}))},
)


@TASKS
def test_one_image_is_answered_as_the_results_summarise_it(predict: Any, task: str) -> None:
    for stem in ("shapes", "tall"):
        found, results = predict(PLATFORM, task, stem)
        assert list(found) == ["images", "metadata"]
        (item,) = found["images"]
        assert set(item) - {"semantic_mask", "depth"} == {"shape", "results", "speed"}
        assert item["shape"] == list(results.orig_shape)
        assert item["results"] == results.summary()
        assert set(item["speed"]) == {"preprocess", "inference", "postprocess"}
        assert item["speed"]["inference"] == pytest.approx(results.speed["inference"], abs=1e-3)


@TASKS
def test_metadata(predict: Any, task: str) -> None:
    found, results = predict(PLATFORM, task)
    metadata = found["metadata"]
    assert set(metadata) == {
        *("imageCount", "functionTimeCall", "functionTimeAlive", "model", "task", "classNames", "version"),
    }  # fmt: skip
    assert (metadata["imageCount"], metadata["model"], metadata["task"]) == (1, DEMO_MODELS[task], task)
    assert metadata["classNames"] == list(results.names.values())
    assert 0 <= metadata["functionTimeCall"] <= metadata["functionTimeAlive"]
    assert metadata["version"]["yolean"] == yolean.__version__
    assert all(isinstance(version, str) for version in metadata["version"].values())


def test_coordinates_may_be_normalised_and_numbers_rounded(made: Any) -> None:
    points = np.array([[[20, 50], [200, 100]]], np.float32)
    results = made.results("pose", boxes=[[20, 20, 200, 100]], scores=[1 / 3], classes=[1], keypoints=points)
    for fields, box, keypoints, score in (
        ({}, [20, 20, 200, 100], [20, 200], 0.33333),
        ({"normalize": True}, [0.1, 0.2, 1, 1], [0.1, 1], 0.33333),
        ({"normalize": True, "decimals": 1}, [0.1, 0.2, 1, 1], [0.1, 1], 0.3),
        ({"decimals": 0}, [20, 20, 200, 100], [20, 200], 0),
    ):
        (item,) = image(results, PLATFORM.read(fields)).results
        assert [item.box.x1, item.box.y1, item.box.x2, item.box.y2] == pytest.approx(box, abs=1e-5)  # type: ignore[union-attr]
        assert item.keypoints.x == pytest.approx(keypoints)  # type: ignore[union-attr]
        assert item.confidence == score


def test_a_classification_has_its_five_best_whatever_the_threshold(predict: Any) -> None:
    found, results = predict(PLATFORM, "classify", "star", conf=1.0)
    items = found["images"][0]["results"]
    assert len(items) == len(results.names) == 4
    assert [item["confidence"] for item in items] == sorted((i["confidence"] for i in items), reverse=True)
    hub, _ = predict(HUB_V2, "classify", "star", conf=1.0)
    assert hub["images"][0]["results"] == []


# ---- maps -------------------------------------------------------------------------------------------------


def pixels(encoded: str) -> Any:
    """The image in an item, as Platform's clients read it."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_a_semantic_mask_has_its_classes_and_their_shares(made: Any, dtype: Any) -> None:
    ids = np.zeros((100, 200), dtype)
    ids[:, 150:] = 3
    item = json.loads(encode(image(made.results("semantic", class_map=ids), PLATFORM.read({}))))
    assert item["results"] == [
        {"name": "n0", "class": 0, "pixel_ratio": 0.75},
        {"name": "n3", "class": 3, "pixel_ratio": 0.25},
    ]
    assert item.keys() == {"shape", "results", "speed", "semantic_mask"}
    mask = item["semantic_mask"]
    assert (mask.keys(), mask["shape"]) == ({"shape", "encoding", "data"}, [100, 200])
    assert mask["encoding"] == "png"
    found = pixels(mask["data"])
    assert found.dtype == (np.uint8 if dtype is np.uint8 else np.uint16)
    np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize(
    ("bits", "divisor", "levels"), [(8, 255, 255), (12, 65535, 4095), (16, 65535, 65535)]
)
def test_a_depth_map_is_that_of_the_model_within_a_step(
    made: Any, bits: int, divisor: int, levels: int
) -> None:
    metres = np.random.default_rng(1).uniform(0.31, 79.9, (48, 64)).astype(np.float32)
    metres[0, :] = 0  # no depth
    metres[1, 0] = 0.001  # less than half a step
    results = made.results("depth", depth=np.ones((100, 200), np.float32), depth_at_input=metres)
    item = image(results, PLATFORM.read({"bits": bits}))
    found = json.loads(encode(item))
    assert (found["results"], found["shape"]) == ([], [100, 200])
    depth = found["depth"]
    assert depth.keys() == {"shape", "encoding", "data", "min", "max", "bits"}
    assert (depth["shape"], depth["encoding"], depth["bits"]) == ([48, 64], "png", bits)
    assert (depth["min"], depth["max"]) == (pytest.approx(0.001), metres.max())
    read = pixels(depth["data"])
    assert read.dtype == (np.uint8 if bits == 8 else np.uint16)
    np.testing.assert_array_equal(read == 0, metres == 0)
    assert len(np.unique(read)) <= levels + 1
    assert np.abs(read * depth["max"] / divisor - metres).max() <= depth["max"] / levels


def test_a_map_without_any_depth(made: Any) -> None:
    for value in (0, -1):
        results = made.results("depth", depth=np.full((4, 6), value, np.float32))
        depth = json.loads(encode(image(results, PLATFORM.read({}))))["depth"]
        assert (depth["min"], depth["max"], depth["shape"]) == (0, 0, [4, 6])
        assert not pixels(depth["data"]).any()


def test_several_images_have_one_metadata() -> None:
    arguments = PLATFORM.read({})
    found = metadata(3, replace(arguments, read_at=arguments.read_at - 2), MODEL)
    assert (found.image_count, found.model, found.class_names) == (3, "acme/doors/best", ["a", "b"])
    assert 2 <= found.function_time_call < 30


def test_names_are_a_list_up_to_the_first_gap() -> None:
    assert class_names({0: "a", 1: "b", 10**9: "c"}) == ["a", "b"]
    assert class_names({}) == class_names({5: "x"}) == []
