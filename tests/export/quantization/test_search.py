"""How a way to quantise is chosen, and what engines make of files in eight bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import onnx
import pytest
import yolean
from heads import HEIGHT, WIDTH, build
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tables import for_each, slow
from yolean.engine.images.preprocessing import InputTensor, place
from yolean.engine.model.lean_metadata import KEY, read_entry
from yolean.engine.model.spec import ModelSpec
from yolean.engine.pipeline import Engine
from yolean.export.evaluation.agreement import Agreement, agreement
from yolean.export.evaluation.paired_results import paired_results
from yolean.export.evaluation.speed import Speed
from yolean.export.graph.head import cut
from yolean.export.graph.onnx_graph import Graph, read_model
from yolean.export.quantization import search as int8
from yolean.export.quantization.calibration import METHODS, whole
from yolean.export.quantization.search import Quantiser, loss, quantise_best
from yolean.models import demo_images
from yolean.postprocess.layout import Layout, Task
from yolean.postprocess.types import Size

PLAIN = Path(__file__).parents[2] / "golden" / "plain"
SPEED = Speed(2.0, 1.0, 0.5, 0.5, 0.5, 7, 1, "CPUExecutionProvider")


def silent(stage: Any, done: Any, total: Any) -> None:
    """Nobody wants to know."""


def load(model: Any) -> Any:
    return yolean.load(model.SerializeToString(), device="cpu")


def lean(plain: onnx.ModelProto, source: Engine | None = None) -> onnx.ModelProto:
    """The lean form of a network that has one."""
    model = cut(plain, source or load(plain))
    assert model is not None
    return model


def read(path: Path) -> NDArray[np.uint8]:
    """An image that is there, (height, width, 3)."""
    image = cv2.imread(str(path))
    assert image is not None
    return cast("NDArray[np.uint8]", image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Six small images of different sizes: the drawn ones, and some of them turned."""
    path = tmp_path_factory.mktemp("images")
    for number, photo in enumerate(demo_images()[:3]):
        image = read(photo)
        small = cv2.resize(image, None, fx=0.5, fy=0.5)
        cv2.imwrite(str(path / f"{number}a.png"), small)
        cv2.imwrite(str(path / f"{number}b.png"), np.ascontiguousarray(small[:, ::-1]))
    return path


@pytest.fixture(scope="module")
def images(folder: Any) -> Any:
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def work(images: list[Path]) -> Any:
    """A quantiser of a built network."""
    source = load(build())
    model = lean(build(), source)
    return Quantiser(model, source, images, silent)


@pytest.fixture
def same_speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both files are equally fast; returns what was timed."""
    timed = []

    def measure(reference: Any, candidate: Any, image: Any, seconds: Any = 5.0) -> Any:
        timed.append((reference, candidate))
        return replace(SPEED, ratio=1.0)

    monkeypatch.setattr(int8, "compare_speed", measure)
    return timed


# ---- engines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "least"),
    [
        *slow(
            ("shapes", 0.9),
            ("shapes-seg", 0.9),
            ("shapes-pose", 0.9),
            ("shapes-obb", 0.9),
            ("shapes-cls", 1.0),
        ),
    ],
)
def test_demo_models_answer_nearly_the_same_in_bytes(stem: str, least: float, demo: Any) -> None:
    source, model = demo(stem)
    images = demo_images()[:2]
    made = Quantiser(model, source, images, silent).make("min-max")
    engine = load(made)
    assert (engine.spec.dtype, engine.spec.dynamic, engine.spec.batch) == ("uint8", True, None)
    assert (engine.task, engine.names, engine.spec.imgsz) == (source.task, source.names, source.spec.imgsz)
    assert read_entry(engine.session.metadata)["precision"] == "int8"
    share = len(made.SerializeToString()) / (PLAIN / f"{stem}.onnx").stat().st_size
    assert share < (0.4 if stem == "shapes" else 0.5)
    found = agreement(paired_results(source, engine, images))
    assert found.score >= least
    assert found.confidence_error is not None
    assert found.confidence_error < 0.05
    for overlap in (found.mean_iou, found.mask_iou):
        assert overlap is None or overlap > 0.9
    assert found.keypoint_relative is None or found.keypoint_relative < 0.02


@pytest.mark.slow
def test_sizes_and_batches_of_a_file_in_bytes(demo: Any) -> None:
    source, model = demo("shapes")
    engine = load(Quantiser(model, source, demo_images()[:1], silent).make("min-max"))
    photo = read(demo_images()[0])
    alone, small = engine(photo)[0], engine(photo, imgsz=160)[0]
    assert len(alone) > 3
    assert len(small) > 0
    for one in engine([photo] * 3, batch=3):
        np.testing.assert_array_equal(one.boxes.data, alone.boxes.data)


def fixed_at(model: Any, batch: Any = None, channels: Any = None) -> Any:
    """The same network for another number of images a run, or of channels."""
    graph = model.graph
    axes = graph.input[0].type.tensor_type.shape.dim
    if channels is not None:
        first = next(node for node in graph.node if node.op_type == "Conv").input[1]
        weight = next(tensor for tensor in graph.initializer if tensor.name == first)
        value = numpy_helper.to_array(weight).sum(axis=1, keepdims=True)
        weight.CopyFrom(numpy_helper.from_array(value, first))
        axes[1].dim_value = channels
        model.metadata_props.add(key="channels", value=str(channels))
    if batch is not None:
        axes[0].dim_value = batch
        del graph.value_info[:]
        for output in graph.output:
            output.type.tensor_type.shape.dim[0].dim_value = batch
    return model


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"batch": 2}, {"channels": 1}, {"batch": 3, "channels": 1}])
def test_files_of_a_fixed_batch_and_of_grey(change: Any, images: list[Path]) -> None:
    model = fixed_at(build(), **change)
    source = load(model)
    assert source.spec.batch == change.get("batch", 1)
    assert source.spec.channels == change.get("channels", 3)
    quantiser = Quantiser(lean(model, source), source, images, silent)
    engine = load(quantiser.make("min-max"))
    assert (engine.spec.batch, engine.spec.channels) == (source.spec.batch, source.spec.channels)
    assert engine.spec.dtype == "uint8"
    found = agreement(paired_results(source, engine, images))
    assert found.objects is not None
    assert found.objects > 10
    assert found.mean_iou is not None
    assert found.mean_iou > 0.8


def test_what_a_batch_has_no_image_for_is_not_calibrated_on(images: list[Path]) -> None:
    """Rows of zeros would count as black images."""
    alone, filled = (
        Quantiser(lean(model), load(model), images[:2], silent)
        for model in (build(), fixed_at(build(), batch=2))
    )
    for name, (low, high) in alone.ranges("min-max").items():
        assert filled.ranges("min-max")[name] == pytest.approx((low, high), rel=1e-4, abs=1e-5)
    for (name, one), other in zip(alone._seen.items(), filled._seen.values(), strict=True):
        assert other.counts.sum() == 2 * one.counts.sum(), name


def test_bytes_of_others_are_refused() -> None:
    """What 0 to 255 means in a file that is not ours, nobody knows."""
    model = build()
    graph = model.graph
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    first = graph.node[0]
    first.input[0] = "cast"
    graph.node.insert(0, helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT))
    with pytest.raises(yolean.ModelError, match="quantised inputs are unknown") as caught:
        load(model)
    assert "\n" not in str(caught.value)
    model.metadata_props.add(key=KEY, value="{'version': 1, 'precision': 'int8'}")
    assert load(model).spec.dtype == "uint8"


# ---- images as bytes ------------------------------------------------------------------------------------


@for_each("task", ["detect", "classify"])
@for_each("channels", [1, 3])
@for_each("shape", [(64, 96), (30, 200), (333, 111), (1, 1)])
def test_bytes_are_255_times_the_floats(task: Task, channels: Any, shape: Any) -> None:
    image = np.random.default_rng(sum(shape)).integers(0, 256, (*shape, channels), np.uint8)
    prepared = {}
    for dtype in ("float32", "uint8"):
        spec = ModelSpec(Layout(task, "raw", 1), {0: "x"}, Size(64, 96), 32, channels, 1, False, dtype)
        geometry = place(Size(*shape), spec.imgsz, spec)
        tensor = InputTensor((1, channels, *geometry.tensor), dtype)
        tensor.write([(image, geometry)], spec)
        assert tensor.array.dtype == dtype
        prepared[dtype] = tensor.array[0]
    wanted = np.rint(prepared["float32"].astype(np.float64) * 255)
    np.testing.assert_array_equal(prepared["uint8"], wanted)


# ---- what is observed -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_calibration_sees_what_the_engine_sees(work: Any, images: list[Path]) -> None:
    tensors = list(work._tensors(images))
    assert len(tensors) == len(images)
    engine = work._float
    for path, tensor in zip(images, tensors, strict=True):
        image = read(path)
        geometry = place(Size.of(image), Size(HEIGHT, WIDTH), engine.spec)
        wanted = InputTensor((1, 3, HEIGHT, WIDTH), "float32")
        wanted.write([(image, geometry)], engine.spec)
        np.testing.assert_array_equal(tensor, wanted.array)


def test_images_that_cannot_be_read_are_left_out(work: Any, images: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    assert len(list(work._tensors([images[0], broken, tmp_path / "missing.png"]))) == 1


@pytest.mark.slow
def test_at_most_a_hundred_images_calibrate(monkeypatch: pytest.MonkeyPatch, images: list[Path]) -> None:
    monkeypatch.setattr(int8, "MAX_CALIBRATION_IMAGES", 2)
    monkeypatch.setattr(int8, "VALIDATION_IMAGES", 3)
    told = []
    source = load(build())
    model = lean(build(), source)
    quantiser = Quantiser(model, source, images, lambda *step: told.append(step))
    # Once for outliers, once for the ranges, and once for what lies within.
    assert told == [*[("calibrating", 0, 2), ("calibrating", 1, 2)] * 3, ("rounding weights", 0, 1)]
    assert len(quantiser.validation) == 3


def test_scores_that_nobody_asks_for_get_no_bytes(work: Any) -> None:
    ranges = work.ranges("min-max")
    names = [output.name for output in work.model.graph.output]
    classes = [name for name in names if name.startswith("classes_")]
    assert len(classes) == 3
    for name in classes:
        low, high = ranges[name]
        assert low >= -8
        assert high >= 1
        assert work._seen[name].high <= high


# ---- choices ----------------------------------------------------------------------------------------------


@for_each(
    "found, expected",
    [
        (Agreement("detect", 1, 5, 5, 1.0, 1.0, 1.0, 0.0, 0.0), 0),
        (Agreement("detect", 1, 5, 5, 0.9, 0.8, 1.0, 0.0, 0.0), 0.2),  # the smaller share
        (Agreement("detect", 1, 5, 5, 1.0, 1.0, 0.9, -0.2, 0.2), 0.3),  # boxes and scores
        (Agreement("segment", 1, 5, 5, 1.0, 1.0, 1.0, 0.0, 0.0, mask_iou=0.7), 0.3),
        (
            Agreement(
                "pose", 1, 5, 5, 1.0, 1.0, 1.0, 0.0, 0.0, keypoint_distance=20.0, keypoint_relative=0.1
            ),
            0.1,
        ),
        (Agreement("classify", 1, confidence_change=0.1, confidence_error=0.1, top1=0.5), 0.6),
        (Agreement("detect", 1, 5, 0, 0.0, 0.0), 1),  # nothing found any more
    ],
)
def test_loss(found: Any, expected: Any) -> None:
    assert loss(found) == pytest.approx(expected)


def test_the_method_with_the_least_loss_is_taken(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    losses = dict(zip(METHODS, (0.3, 0.2, 0.1, 0.4), strict=True))
    monkeypatch.setattr(Quantiser, "make", lambda self, method, keep=(): method)
    monkeypatch.setattr(Quantiser, "loss", lambda self, made, validation=None: losses[made])
    assert work.best_method() == ("percentile 99.99", losses)
    losses.update(dict.fromkeys(losses, 0.1))
    assert work.best_method()[0] == "min-max"  # of equals the first


def test_sensitivity_quantises_one_layer_at_a_time(monkeypatch: pytest.MonkeyPatch, work: Any) -> Any:
    seen = []

    def one(self: Quantiser, made: Any, validation: Any = None) -> Any:
        kept = {*made}
        (alone,) = [name for name in self.convolutions if name not in kept]
        seen.append((alone, len(validation)))
        return self.convolutions.index(alone) % 5

    monkeypatch.setattr(int8, "VALIDATION_IMAGES", 4)
    monkeypatch.setattr(Quantiser, "make", lambda self, method, keep=(): list(keep))
    monkeypatch.setattr(Quantiser, "loss", one)
    losses = work.sensitivity("min-max")
    assert seen == [(name, 2) for name in work.convolutions]
    assert list(losses.values()) == sorted(losses.values(), reverse=True)
    assert losses.keys() == set(work.convolutions)


@pytest.mark.parametrize(
    ("losses", "affordable", "expected"),
    [
        ({}, 9, 0),  # nothing helps
        ({2: 0.5}, 9, 2),
        ({2: 0.85, 4: 0.81, 8: 0.79, 9: 0.85}, 9, 8),  # a fifth must go
        ({2: 0.5, 4: 0.4, 8: 0.41, 9: 0.6}, 9, 8),  # the best of all, of those as good the most
        ({2: 0.5, 4: 0.4, 8: 0.1}, 5, 4),  # eight would be better, and too slow
        ({2: 0.5, 4: 0.4, 5: 0.3}, 5, 5),  # all that can be afforded
        ({2: 0.5}, 0, 0),
    ],
)
def test_layers_stay_in_float_where_that_pays(
    monkeypatch: pytest.MonkeyPatch, work: Any, losses: Any, affordable: int, expected: int
) -> None:
    order = work.convolutions[::-1]
    monkeypatch.setattr(Quantiser, "sensitivity", lambda self, method: dict.fromkeys(order, 1.0))
    monkeypatch.setattr(Quantiser, "make", lambda self, method, keep=(): list(keep))
    monkeypatch.setattr(Quantiser, "loss", lambda self, made, validation=None: losses.get(len(made), 1.0))
    monkeypatch.setattr(int8, "affordable", lambda costly, *_: costly[:affordable])
    assert work.worth_keeping_in_float("min-max", 1.0) == order[:expected]


def test_where_nothing_is_lost_nothing_stays_in_float(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    monkeypatch.setattr(Quantiser, "sensitivity", lambda self, method: dict.fromkeys(self.convolutions, 0.0))
    monkeypatch.setattr(Quantiser, "loss", lambda self, made, validation=None: 0.0)
    assert work.worth_keeping_in_float("min-max", 0.0) == []


# ---- all of it --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, *slow({"task": "pose", "extra": 15, "kpt_shape": (5, 3)}, {"limit": 20, "reg_max": 1})],
)
def test_a_network_is_quantised_from_end_to_end(
    monkeypatch: pytest.MonkeyPatch, settings: Any, images: list[Path], same_speed: Any
) -> None:
    source = load(build(**settings))
    model = lean(build(**settings), source)
    monkeypatch.setattr(int8, "VALIDATION_IMAGES", 2)
    before = model.SerializeToString()
    stages = []

    def tell(stage: Any, done: Any, total: Any) -> None:
        assert 0 <= done < total
        if stage not in stages:
            stages.append(stage)

    made, held_out, details = quantise_best(model, source, images, tell)
    assert model.SerializeToString() == before
    assert held_out == images[1::3]
    assert stages == [
        "reading images", "calibrating", "rounding weights", "comparing calibration methods",
        "measuring the sensitivity of each layer",
        "leaving layers in float",
    ]  # fmt: skip
    assert details["held out"] == "2 of 6 images, for the figures below"
    assert details["ranges"].endswith("the best of 4 methods on 2 images")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert details["in float"].endswith(f" of {len(convolutions)} convolutions")
    graph = Graph(made)
    floats = [
        node for node in graph.nodes if node.op_type == "Conv" and graph.constant(node.input[1]) is not None
    ]
    assert details["in float"].startswith(f"{len(floats)} of ")
    engine = load(made)
    assert engine.spec.layout == load(model).spec.layout
    assert read_entry(engine.session.metadata)["precision"] == "int8"


@pytest.mark.slow
def test_images_held_out_are_used_for_no_choice(
    monkeypatch: pytest.MonkeyPatch, images: list[Path], same_speed: Any
) -> None:
    used = set()
    genuine = Quantiser.__init__

    def spy(self: Quantiser, model: Any, source: Any, calibration: Any, tell: Any) -> None:
        used.update(calibration)
        genuine(self, model, source, calibration, tell)

    monkeypatch.setattr(Quantiser, "__init__", spy)
    monkeypatch.setattr(Quantiser, "sensitivity", lambda self, method: {})
    source = load(build())
    _, held_out, _ = quantise_best(lean(build(), source), source, images, silent)
    assert not used & set(held_out)
    assert used | set(held_out) == set(images)


@pytest.mark.slow
def test_the_result_is_always_the_same(
    monkeypatch: pytest.MonkeyPatch, images: list[Path], same_speed: Any
) -> None:
    monkeypatch.setattr(int8, "METHODS", {"min-max": whole})
    monkeypatch.setattr(int8, "FLOAT_LAYERS_TRIED", (2,))
    monkeypatch.setattr(Quantiser, "sensitivity", lambda self, method: dict.fromkeys(self.convolutions, 0.1))
    source = load(build())
    one, other = (quantise_best(lean(build(), source), source, images, silent)[0] for _ in range(2))
    assert one.SerializeToString() == other.SerializeToString()


@pytest.mark.slow
def test_images_that_cannot_be_read_do_not_count(
    monkeypatch: pytest.MonkeyPatch, images: list[Path], same_speed: Any, tmp_path: Path
) -> None:
    """Every second one is broken: those held out and those calibrated on are others."""
    monkeypatch.setattr(Quantiser, "sensitivity", lambda self, method: {})
    mixed = []
    for number, photo in enumerate(images[:3]):
        for path, content in ((f"{number}0.png", photo.read_bytes()), (f"{number}1.png", b"no image")):
            (tmp_path / path).write_bytes(content)
            mixed.append(tmp_path / path)
    source = load(build())
    _, held_out, details = quantise_best(lean(build(), source), source, mixed, silent)
    assert held_out == [mixed[2]]
    assert details["held out"].startswith("1 of 3 images")


@for_each("good, broken", [(0, 1), (0, 3), (1, 0), (1, 4)])
def test_two_images_are_needed(good: Any, broken: Any, images: list[Path], tmp_path: Path) -> None:
    paths = images[:good]
    for number in range(broken):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_text("no image")
    source = load(build())
    with pytest.raises(yolean.InputError, match=f"two images at least.*; {good} can be read"):
        quantise_best(build(), source, paths, silent)


def test_a_folder_in_which_nothing_is_found(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        cv2.imwrite(str(path), np.full((40, 40, 3), 114, np.uint8))
    path = PLAIN / "shapes.onnx"
    source = yolean.load(path, device="cpu")
    with pytest.raises(yolean.InputError, match="finds nothing"):
        quantise_best(read_model(path), source, paths, silent)


@pytest.mark.parametrize("opset", [11, 12])
def test_old_opsets_are_refused(opset: Any, images: list[Path]) -> None:
    model = build()
    source = load(model)
    model.opset_import[0].version = opset
    with pytest.raises(yolean.ModelError, match=f"opset {opset}, and INT8 needs 13"):
        quantise_best(model, source, images, silent)


def test_other_domains_are_no_opset(images: list[Path]) -> None:
    """Only the operators of ONNX itself count."""
    model = build()
    source = load(model)
    model.opset_import[0].version = 12
    model.opset_import.append(helper.make_opsetid("com.microsoft", 17))
    with pytest.raises(yolean.ModelError, match="opset 12, and INT8 needs 13"):
        quantise_best(model, source, images, silent)


@pytest.mark.slow
@pytest.mark.parametrize(("ratio", "searches"), [(0.5, 1), *slow((1.2, 0))])
def test_a_classifier_that_gains_nothing_is_no_work(
    monkeypatch: pytest.MonkeyPatch, demo: Any, images: list[Path], ratio: float, searches: int
) -> None:
    source, model = demo("shapes-cls")
    searched: list[str] = []
    seen: list[str] = []

    def stages(stage: str, done: int, total: int) -> None:
        seen.append(stage)

    monkeypatch.setattr(int8, "compare_speed", lambda *_: replace(SPEED, ratio=ratio))

    def nothing_to_keep(*_: object) -> list[str]:
        searched.append("")
        return []

    monkeypatch.setattr(Quantiser, "worth_keeping_in_float", nothing_to_keep)
    if not searches:
        with pytest.raises(yolean.ModelError, match=r"gains nothing for this classifier .*: 1.20 of the"):
            quantise_best(model, source, images, stages)
        assert seen == ["reading images", "comparing speed"]  # before anything is calibrated
    quantise_best(model, source, images, silent, even_if_slow=True)
    assert len(searched) == searches
