"""Results of the demo models and made up ones, and the answers that dialects make of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from yolean.engine.images.frames import Frame
from yolean.engine.pipeline import Engine
from yolean.engine.results.results import Results
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.postprocess.detections import Detections
from yolean.postprocess.layout import Task
from yolean.postprocess.types import Size
from yolean.serving.dialects.dialect import Arguments, Dialect
from yolean.serving.model_registry import LoadedModel
from yolean.serving.schemas import encode

IMAGES = {image.stem: image for image in demo_images()}

Predict = Callable[..., tuple[Any, Results]]


class Made(NamedTuple):
    """Makes results, and reads the answers that dialects make of them."""

    results: Callable[..., Results]
    answer: Callable[..., Any]


def read(body: bytes) -> Any:
    """JSON, strictly: every number is finite, no name comes twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def refuse(text: str) -> None:
        raise AssertionError(text)

    return json.loads(body.decode(), parse_constant=refuse, object_pairs_hook=unique)


def answer(dialect: Dialect, results: Results, model: LoadedModel, conf: float, size: int | None) -> Any:
    """The answer as a client reads it."""
    arguments = Arguments(dialect, None, size, conf, 0.45, None)
    return read(encode(dialect.render(results, arguments, model)))


@pytest.fixture(scope="session")
def predict(engines: Mapping[str, Engine]) -> Predict:
    """Runs a demo model; gives the answer of a dialect, and the results that it was made of."""

    def run(
        dialect: Dialect, task: str, image: str = "shapes", conf: float = 0.25, size: int | None = None
    ) -> tuple[Any, Results]:
        engine = engines[task]
        (results,) = engine(str(IMAGES[image]), conf=conf, imgsz=size)
        model = LoadedModel(DEMO_MODELS[task], demo_model(task), "0", {1: engine})
        return answer(dialect, results, model, conf, size), results

    return run


def made_results(
    task: Task = "detect",
    shape: tuple[int, int] = (100, 200),
    boxes: Any = (),
    scores: Any = (),
    classes: Any = (),
    names: dict[int, str] | None = None,
    **parts: Any,
) -> Results:
    """Results with these objects."""
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 5 if task == "obb" else 4),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
        **parts,
    )
    speed = {"decode": 1.0, "preprocess": 2.0, "inference": 3.0, "postprocess": 4.0}
    frame = Frame(np.zeros((*shape, 3), np.uint8), "image", 0, None, 1.0)
    return Results(frame, names or {i: f"n{i}" for i in range(9)}, task, found, speed, Size(*shape))


def made_answer(dialect: Dialect, results: Results, conf: float = 0.25) -> Any:
    """The answer to made up results, of a model that runs at 64x96."""
    engine = SimpleNamespace(
        size=lambda size=None: Size(64, 96), session=SimpleNamespace(provider="FakeProvider")
    )
    model = LoadedModel("fake", Path("fake.onnx"), "0", {1: cast("Engine", engine)})
    return answer(dialect, results, model, conf, None)


@pytest.fixture(scope="session")
def made() -> Made:
    """See `Made`."""
    return Made(made_results, made_answer)
