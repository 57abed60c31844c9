"""What `optimize` makes of a model: in float, in half precision and in bytes; and what it refuses."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from heads import build
from onnx import TensorProto, helper, numpy_helper
from optimize_runs import (  # noqa: F401
    FASTER,
    INT8,
    everything,
    here,
    load,
    made,
    make_folder,
    no_model,
    nothing,
    original,
    quick,
    read,
    refused,
)
from tables import for_each, slow
from yolean.engine.model.lean_metadata import KEY, read_entry
from yolean.export import float_forms
from yolean.export import optimizer as optimize
from yolean.export.evaluation.agreement import Agreement, agreement
from yolean.export.evaluation.differences import Differences, differences
from yolean.export.evaluation.paired_results import paired_results
from yolean.export.evaluation.speed import Speed
from yolean.export.evaluation.verdict import Comparison
from yolean.export.optimizer import OptimizeOptions, default_target
from yolean.export.trial_images import find_images

PLAIN = Path(__file__).parents[1] / "golden" / "plain"


def same(one: Any, other: Any, folder: Path) -> Differences:
    """The largest differences of two files over a folder's images."""
    found = Differences()
    for pair in paired_results(one, other, sorted(folder.glob("*.png"))):
        found = found.merge(differences(*pair))
    return found


def test_a_lean_file_is_made_beside_its_source() -> None:
    text = made("m.onnx")
    assert text.startswith("m.onnx -> m-lean.onnx\n")
    assert "detect, raw -> lean layout, fp32" in text
    assert "0.50 of the source's time (0.40 to 0.60): 2.0 -> 1.0 ms, 2 threads" in text
    plain, lean = load("m.onnx"), load("m-lean.onnx")
    assert lean.spec.layout.kind == "lean"
    assert read_entry(lean.session.metadata)["precision"] == "fp32"
    found = same(plain, lean, Path("images"))
    assert found.matched > 10
    assert not found.missing + found.extra
    assert found.box is not None
    assert found.box < 0.05


@pytest.mark.parametrize("stem", ["shapes", *slow("shapes-seg", "shapes-pose", "shapes-obb", "shapes-cls")])
def test_demo_models(stem: str) -> None:
    source = PLAIN / f"{stem}.onnx"
    text = made(source, "-o", "lean.onnx", "--report", "r.json", "--calibrate", "images")
    report = json.loads(Path("r.json").read_text())
    plain, lean = load(source), load("lean.onnx")
    kind = plain.spec.layout.kind
    assert report["layout"] == [kind, "raw" if plain.task == "classify" else "lean"]
    assert report["layout"][1] == lean.spec.layout.kind
    assert ("a classifier has no head" in text) == (plain.task == "classify")
    assert report["bytes"] == [source.stat().st_size, Path("lean.onnx").stat().st_size]
    assert (report["differences"]["images"], report["agreement"]) == (3, None)
    found = same(plain, lean, Path("images"))
    for name, most in (("box", 0.05), ("keypoints", 0.05), ("score", 1e-4), ("probs", 1e-4)):
        assert (getattr(found, name) or 0) < most


INT8_ONLY = ["--int8", "--calibrate", "images"]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ([], {}),
        (["--half"], {"limit": 20}),
        *slow(([], {"limit": 20}), (["--half"], {}), (INT8_ONLY, {}), (INT8_ONLY, {"limit": 20})),
    ],
)
def test_a_head_that_is_not_recognised_stays(options: list[str], settings: dict[str, Any]) -> None:
    onnx.save(build(**settings, spoil=True), "m.onnx")
    text = made("m.onnx", *options, "-o", "o.onnx", "--min-agreement", 0)
    assert "not one that yolean knows: it stays" in text
    plain, other = load("m.onnx"), load("o.onnx")
    assert other.spec.layout == plain.spec.layout
    assert [output.shape for output in other.session.outputs] == [
        output.shape for output in plain.session.outputs
    ]
    if not options:
        found = same(plain, other, Path("images"))
        assert found.box is not None
        assert found.box < 0.01
        assert (found.missing, found.extra) == ((), ())


FLOATS = helper.make_tensor_sequence_value_info("more", TensorProto.FLOAT, None)


MORE_OUTPUTS = {
    "an axis": ("Shape", helper.make_tensor_value_info("more", TensorProto.INT64, [4])),
    "no axis": ("Size", helper.make_tensor_value_info("more", TensorProto.INT64, [])),
    "a sequence": ("SequenceConstruct", FLOATS),
}


@pytest.mark.parametrize(
    ("more", "settings"),
    [
        ("an axis", {}),
        ("no axis", {}),
        ("no axis", {"task": "segment", "extra": 8}),
        ("no axis", {"spoil": True}),  # the head stays, and so does the output
        ("a sequence", {}),
    ],
)
def test_more_outputs_than_yolean_knows_do_no_harm(more: str, settings: dict[str, Any]) -> None:
    """A file of others may give more beside what Ultralytics gives: it goes with the head."""
    model, (operator, output) = build(**settings), MORE_OUTPUTS[more]
    model.graph.node.append(helper.make_node(operator, ["images"], ["more"]))
    model.graph.output.append(output)
    onnx.save(model, "m.onnx")
    made("m.onnx")
    one, other = load("m.onnx"), load("m-lean.onnx")
    assert other.spec.layout.kind == ("raw" if "spoil" in settings else "lean")
    assert len(one.session.outputs) == one.spec.outputs + 1
    assert same(one, other, Path("images")).matched > 10


def test_answers_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(model: onnx.ModelProto) -> int:
        change(model, lambda bias: bias + 0.5)
        return 1

    monkeypatch.setattr(float_forms, "split_convolutions", spoilt)
    before = everything()
    text = made("m.onnx", status=3)
    assert "PROBLEM" in text
    assert "its answers differ from the source's" in text
    assert text.endswith("Nothing was written; --force writes it all the same.\n")
    assert everything() == before


def test_a_classifier_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        float_forms, "split_convolutions", lambda model: change(model, lambda bias: bias * 1.2)
    )
    text = made(PLAIN / "shapes-cls.onnx", "-o", "o.onnx", status=3)
    assert "differ from the source's: probs by" in text
    assert not Path("o.onnx").exists()


def change(model: onnx.ModelProto, how: Any) -> None:
    """Change the biases."""
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.ndim == 1 and value.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(how(value).astype(np.float32), tensor.name))


def test_a_model_of_four_channels() -> None:
    """Image files have three: the fourth is their brightness."""
    onnx.save(build(channels=4), "four.onnx")
    assert "4 images: " in made("four.onnx")
    assert load("four-lean.onnx").spec.channels == 4
    assert "four.onnx takes 4 channels: --int8 is calibrated on image files" in refused("four.onnx", *INT8)


@pytest.mark.slow
def test_the_same_job_gives_the_same_file() -> None:
    """Also in a process whose texts have other hashes, on which an order of sets would depend."""
    code = (
        "from pathlib import Path; from yolean.export import optimizer as o; "
        "from yolean.export.evaluation import speed as s; "
        "s.MIN_PAIRS, s.MAX_PAIRS = 2, 2; "
        "o.optimize(o.OptimizeOptions(Path('m.onnx'), Path('1.onnx')))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    for number in (2, 3):
        made("m.onnx", "-o", f"{number}.onnx")
    assert len({Path(f"{number}.onnx").read_bytes() for number in (1, 2, 3)}) == 1


def data_types(path: str) -> Counter[int]:
    """How many weights of more than four numbers are of which type."""
    tensors = onnx.load(path).graph.initializer
    return Counter(tensor.data_type for tensor in tensors if math.prod(tensor.dims) > 4)


@pytest.mark.parametrize("stem", ["m", *slow("shapes-cls", "shapes-pose")])
def test_half_precision_within_and_floats_outside(stem: str) -> None:
    source = Path("m.onnx") if stem == "m" else PLAIN / f"{stem}.onnx"
    text = made(source, "--half", "-o", "h.onnx", "--calibrate", "images", "--report", "r.json")
    assert "fp16, " in text
    report = json.loads(Path("r.json").read_text())
    assert report["precision"] == "fp16"
    assert report["differences"] is None
    assert report["agreement"]["score"] >= 0.95
    engine = load("h.onnx")
    assert engine.spec.dtype == "float32"
    assert {output.dtype for output in engine.session.outputs} == {"tensor(float)"}
    assert read_entry(engine.session.metadata)["precision"] == "fp16"
    kinds = data_types("h.onnx")
    assert kinds[TensorProto.FLOAT16] > 10
    assert not kinds[TensorProto.FLOAT]
    assert Path("h.onnx").stat().st_size < 0.65 * source.stat().st_size
    found = agreement(paired_results(load(source), engine, sorted((Path("images")).iterdir())))
    assert found.score >= 0.95
    assert found.confidence_error is not None
    assert found.confidence_error < 0.01


def test_a_lean_file_is_halved_as_it_is() -> None:
    made("m.onnx")
    made("m-lean.onnx", "--half", "--calibrate", "images")
    lean, half = load("m-lean.onnx"), load("m-half.onnx")
    assert half.spec.layout == lean.spec.layout
    assert [one.name for one in half.session.outputs] == [one.name for one in lean.session.outputs]


def halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """As Ultralytics exports with half=True: input and outputs are halves as well."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted: onnx.ModelProto = convert_float_to_float16(model)
    return converted


def test_a_source_in_half_precision_is_made_lean_and_keeps_it() -> None:
    """Its own boxes are rounded to half a pixel of the tensor, which is several of a large image.

    So what is decoded in numpy lies next to them, and the two are compared as INT8 and float are.
    """
    onnx.save(halves(build()), "m.onnx")
    cv2.imwrite("images/large.png", cv2.resize(read("images/0.png"), (2400, 1800)))
    text = made("m.onnx", "--calibrate", "images", "--min-agreement", 0.9)
    assert "raw -> lean layout, fp16" in text
    assert "recall" in text
    engine = load("m-lean.onnx")
    assert engine.spec.dtype == "float16"
    assert read_entry(engine.session.metadata)["precision"] == "fp16"


def test_a_source_in_half_precision_with_an_unknown_head() -> None:
    onnx.save(halves(build(spoil=True)), "m.onnx")
    assert "raw layout, fp16" in made("m.onnx", "--calibrate", "images", "--min-agreement", 0.9)
    assert read_entry(load("m-lean.onnx").session.metadata)["precision"] == "fp16"


def test_a_file_in_bytes_is_made_and_answers_images() -> None:
    text = made("m.onnx", *INT8, "--report", "r.json")
    assert text.startswith("m.onnx -> m-int8.onnx\n")
    for line in ("  ranges     min-max", "  in float   0 of ", "  held out   1 of 3 images"):
        assert line in text
    engine = load("m-int8.onnx")
    assert engine.spec.dtype == "uint8"
    found = agreement(paired_results(load("m.onnx"), engine, sorted(Path("images").iterdir())))
    assert found.score > 0.5
    report = json.loads(Path("r.json").read_text())
    assert report["images"] == report["agreement"]["images"] == 1


@pytest.mark.slow
def test_a_classifier_in_bytes() -> None:
    text = made(PLAIN / "shapes-cls.onnx", *INT8, "-o", "o.onnx", "--min-agreement", 1)
    assert "same best class 1.000" in text
    assert "raw layout, int8" in text


def test_a_lean_file_in_bytes() -> None:
    made("m.onnx")
    made("m-lean.onnx", *INT8)
    assert load("m-int8.onnx").spec.layout == load("m-lean.onnx").spec.layout


@pytest.mark.parametrize("batch", [2, *slow(3)])
def test_a_file_of_a_fixed_batch(batch: int) -> None:
    model = build()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    onnx.save(model, "m.onnx")
    for options in ((), INT8):
        made("m.onnx", *options, "-o", "o.onnx", "--overwrite")
        assert load("o.onnx").spec.batch == batch


def test_a_file_that_is_not_faster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "compare_speed", lambda *_: replace(FASTER, ratio=1.0))
    before = everything()
    text = made("m.onnx", *INT8, status=3)
    assert "  PROBLEM    it is not faster: 1.00 of the source's time\n" in text
    assert everything() == before
    text = made("m.onnx", *INT8, "--force", "--report", "r.json", status=3)
    assert "PROBLEM" in text
    assert "Nothing was written" not in text
    assert load("m-int8.onnx").spec.dtype == "uint8"
    report = json.loads(Path("r.json").read_text())
    assert report["written"] is True
    assert len(report["problems"]) == 1


def test_a_file_that_disagrees_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = Agreement("detect", 1, 10, 9, 0.8, 0.9, 0.9, 0.0, 0.0)

    def compared(pairs: Iterable[object], least: float) -> Comparison:
        assert len(list(pairs)) == 1
        return Comparison(poor, None, ["too far off"] if least > 0.8 else [], ["few objects"])

    monkeypatch.setattr(optimize, "compare", compared)
    before = everything()
    text = made("m.onnx", *INT8, "--min-agreement", 0.81, "--report", "../r.json", status=3)
    assert "  note       few objects\n  PROBLEM    too far off\n" in text
    assert everything() == before
    report = json.loads(Path("../r.json").read_text())
    assert (report["written"], len(report["problems"])) == (False, 1)
    made("m.onnx", *INT8, "--min-agreement", 0.8)


@pytest.mark.slow
def test_where_nothing_is_found_half_precision_is_refused() -> None:
    """Neither file finds an object, so that all agree: that is no proof."""
    cv2.imwrite("images/0.png", np.full((64, 64, 3), 114, np.uint8))
    for name in ("1", "2"):
        Path(f"images/{name}.png").unlink()
    shapes = PLAIN / "shapes.onnx"
    text = made(shapes, "--half", "--calibrate", "images", "-o", "o.onnx", status=3)
    assert "neither file finds an object" in text
    made(shapes, "--calibrate", "images", "-o", "o.onnx")  # a cut is checked anchor by anchor


def test_the_stages_of_a_job() -> None:
    seen: list[tuple[str, int, int]] = []
    optimize.optimize(OptimizeOptions(Path("m.onnx")), lambda *step: seen.append(step))
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == [
        "reading", "cutting", "comparing", "timing", "writing",
    ]  # fmt: skip
    assert all(0 <= done < total for _, done, total in seen)


def nothing_like_yolo() -> None:
    model = build()
    del model.metadata_props[:]
    onnx.save(model, "m.onnx")


def two_inputs() -> None:
    model = build()
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    onnx.save(model, "m.onnx")


def lean_already() -> None:
    optimize.optimize(OptimizeOptions(Path("m.onnx"), overwrite=True))
    os.replace("m-lean.onnx", "m.onnx")


def made_already() -> None:
    """By this package, of a head that it does not know."""
    onnx.save(build(spoil=True), "m.onnx")
    lean_already()


def half_already() -> None:
    onnx.save(halves(build()), "m.onnx")


def halved_already() -> None:
    optimize.optimize(OptimizeOptions(Path("m.onnx"), half=True, images=Path("images"), min_agreement=0))
    os.replace("m-half.onnx", "m.onnx")


def quantised_already() -> None:
    optimize.optimize(OptimizeOptions(Path("m.onnx"), int8=True, images=Path("images"), min_agreement=0))
    os.replace("m-int8.onnx", "m.onnx")


def quantised_by_others() -> None:
    from onnxruntime.quantization import quantize_dynamic

    onnx.save(build(), "plain.onnx")
    quantize_dynamic("plain.onnx", "m.onnx")
    os.remove("plain.onnx")


def with_suppression() -> None:
    model = build(limit=20)
    for entry in model.metadata_props:
        if entry.key == "end2end":
            entry.value = "False"
    model.metadata_props.add(key="args", value="{'nms': True}")
    onnx.save(model, "m.onnx")


def weights_outside() -> None:
    onnx.save(build(), "m.onnx", save_as_external_data=True, size_threshold=0, location="weights")


def weights_lost() -> None:
    weights_outside()
    os.remove("weights")


def cut_off() -> None:
    content = Path("m.onnx").read_bytes()
    Path("m.onnx").write_bytes(content[: len(content) // 2])


def empty() -> None:
    Path("m.onnx").write_bytes(b"")


def pytorch() -> None:
    Path("m.pt").write_bytes(b"PK\x03\x04 and so on")


MODELS: list[tuple[Callable[[], None], list[Any], str]] = [
    (no_model, ["m.onnx"], "not a usable ONNX model"),
    (cut_off, ["m.onnx"], "not a usable ONNX model"),
    (empty, ["m.onnx"], "m.onnx is empty"),
    (nothing, ["missing.onnx"], "missing.onnx does not exist"),
    (nothing, ["images"], "images is a folder"),
    (nothing, ["."], ". is a folder"),
    (nothing, ["/"], "/ is a folder"),
    (nothing, ["images/0.png"], "not a usable ONNX model"),
    (pytorch, ["m.pt"], "PyTorch weights"),
    (nothing_like_yolo, ["m.onnx"], "no Ultralytics metadata"),
    (two_inputs, ["m.onnx"], "not a YOLO export"),
    (lean_already, ["m.onnx"], "lean already"),
    (made_already, ["m.onnx"], "lean already"),
    (half_already, ["m.onnx", "--half"], "half precision already"),
    (half_already, ["m.onnx", *INT8], "half precision already"),
    (halved_already, ["m.onnx", "--half"], "half precision already"),
    (quantised_already, ["m.onnx"], "quantised already"),
    (quantised_already, ["m.onnx", *INT8], "quantised already"),
    (quantised_by_others, ["m.onnx", "--half"], "quantised already"),
    (with_suppression, ["m.onnx"], "nms=True, which hides the head: export without it"),
    (with_suppression, ["m.onnx", *INT8], "nms=True"),
    (weights_outside, ["m.onnx"], "external data"),
    (weights_lost, ["m.onnx"], "second file"),
]


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    MODELS,
    ids=[f"{make.__name__} {' '.join(map(str, words))}" for make, words, _ in MODELS],
)
def test_models_that_are_refused(make: Any, arguments: list[Any], message: str) -> None:
    make()
    assert message in refused(*arguments)


def test_a_graph_that_is_too_old_for_bytes() -> None:
    b, image = [], helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])
    weight = numpy_helper.from_array(np.zeros((5, 3, 32, 32), np.float32), "w")
    shape = numpy_helper.from_array(np.array([1, 5, 1]), "s")
    b.append(helper.make_node("Conv", ["images", "w"], ["c"], kernel_shape=[32, 32]))
    b.append(helper.make_node("Reshape", ["c", "s"], ["output0"]))
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 5, 1])
    graph = helper.make_graph(b, "g", [image], [output], [weight, shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    for key, value in {"task": "detect", "names": "{0: 'x'}", "stride": "32", "end2end": "False"}.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, "m.onnx")
    assert "opset 12, and INT8 needs 13: export it again" in refused("m.onnx", *INT8)
    assert "not one that yolean knows" in made("m.onnx")


def one_image() -> None:
    for number in (1, 2):
        Path(f"images/{number}.png").unlink()


def no_image() -> None:
    for path in Path("images").iterdir():
        path.unlink()
    Path("images/notes.txt").write_text("none")
    Path("images/folder.png").mkdir()


def broken_images() -> None:
    for path in Path("images").iterdir():
        path.write_text("no image")


def nothing_to_see() -> None:
    Path("m.onnx").write_bytes((PLAIN / "shapes.onnx").read_bytes())
    for path in Path("images").iterdir():
        cv2.imwrite(str(path), np.full((40, 60, 3), 114, np.uint8))


IMAGES: list[tuple[Callable[[], None], list[Any], str]] = [
    (nothing, ["--int8"], "--int8 needs --calibrate"),
    (nothing, ["--half", *INT8], "--int8 and --half exclude each other"),
    (nothing, ["--int8", "--calibrate", "missing"], "missing is no folder"),
    (nothing, ["--int8", "--calibrate", "images/0.png"], "0.png is no folder"),
    (no_image, [*INT8], "images holds no images"),
    (no_image, ["--calibrate", "images"], "images holds no images"),
    (one_image, [*INT8], "two images at least"),
    (broken_images, [*INT8], "two images at least, one to check on; 0 can be read"),
    (broken_images, ["--half", "--calibrate", "images"], "no images to compare"),
    (nothing_to_see, [*INT8], "the model finds nothing in the images held out"),
]


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    IMAGES,
    ids=[f"{make.__name__} {' '.join(map(str, words))}" for make, words, _ in IMAGES],
)
def test_images_that_are_refused(make: Any, arguments: list[Any], message: str) -> None:
    make()
    assert message in refused("m.onnx", *arguments)


@pytest.mark.slow
def test_images_of_all_sorts() -> None:
    """Folders in folders, many sizes, broken ones among good ones, and names that nobody expects."""
    deep = Path("images/a b/ä日本")
    deep.mkdir(parents=True)
    image = read("images/0.png")
    for size in ((1, 1), (7, 300), (500, 20), (640, 480)):
        content = cv2.imencode(".png", cv2.resize(image, size))[1].tobytes()
        (deep / f"[{size[0]}] *?.PNG").write_bytes(content)
    cv2.imwrite("images/grey.png", image[..., 0])
    Path("images/broken.jpg").write_text("no image")
    Path("images/empty.png").write_bytes(b"")
    found = find_images(Path("images"))
    assert len(found) == 10
    assert "answers    on 8 images" in made("m.onnx", "--calibrate", "images")
    text = made("m.onnx", *INT8)
    assert "held out   3 of 8 images" in text
    assert "answers    on 3 images" in text


@for_each(
    "job, target",
    [
        (OptimizeOptions(Path("a/yolov8n.onnx")), "a/yolov8n-lean.onnx"),
        (OptimizeOptions(Path("a/yolov8n.onnx"), half=True), "a/yolov8n-half.onnx"),
        (OptimizeOptions(Path("yolov8n.onnx"), int8=True), "yolov8n-int8.onnx"),
        (OptimizeOptions(Path("yolov8n-lean.onnx"), int8=True), "yolov8n-int8.onnx"),
        (OptimizeOptions(Path("model")), "model-lean.onnx"),  # no suffix
        (OptimizeOptions(Path("v1.2.onnx")), "v1.2-lean.onnx"),
        (OptimizeOptions(Path("ä b.onnx")), "ä b-lean.onnx"),
        (OptimizeOptions(Path()), "-lean.onnx"),  # is refused as a folder, later
    ],
)
def test_default_targets(job: OptimizeOptions, target: str) -> None:
    assert default_target(job) == Path(target)


def test_a_source_may_be_replaced() -> None:
    before = load("m.onnx")
    made("m.onnx", "-o", "m.onnx", "--overwrite")
    after = load("m.onnx")
    assert (before.spec.layout.kind, after.spec.layout.kind) == ("raw", "lean")


def test_a_refused_file_replaces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "compare_speed", lambda *_: replace(FASTER, ratio=2.0))
    Path("o.onnx").write_text("mine")
    made("m.onnx", *INT8, "-o", "o.onnx", "--overwrite", status=3)
    assert Path("o.onnx").read_text() == "mine"


def test_threads_reach_the_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def measure(reference: Any, candidate: Any, image: Any) -> Speed:
        seen.append((reference.session.threads, candidate.session.threads))
        return FASTER

    monkeypatch.setattr(optimize, "compare_speed", measure)
    made("m.onnx", "--threads", 1)
    assert seen == [(1, 1)]


def test_onnx_runtime_reads_what_is_written() -> None:
    """The file on the disk, without this package."""
    made("m.onnx")
    session = onnxruntime.InferenceSession("m-lean.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map[KEY].startswith("{'version': 1, 'precision': 'fp32'")
    found = session.run(None, {"images": np.zeros((1, 3, 64, 96), np.float32)})
    assert [array.shape[2:] for array in found] == [(8, 12), (4, 6), (2, 3)] * 2
