"""`yolean export` without Ultralytics: what it refuses, and what becomes of a plain file and of answers.

The real Ultralytics makes these in `test_families.py`; here they come from exports that are at hand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import yolean
from click.testing import CliRunner
from yolean._install_advice import install_command
from yolean.cli.main import cli
from yolean.engine.errors import InputError, ModelError, YoleanError
from yolean.export.evaluation import equality, speed
from yolean.export.evaluation.predictions import Boxes, PackedMasks, Prediction
from yolean.export.graph.static_axes import fix_sides
from yolean.export.weights import exporting as weights
from yolean.export.weights import pytorch
from yolean.export.weights import requirements as checks
from yolean.export.weights.exporting import ExportOptions, default_target, export
from yolean.export.weights.isolated_process import call
from yolean.export.weights.pytorch import ExportRequest, ExportResult, ReferencePrediction
from yolean.models import demo_images

# Not by default, where two minutes are the limit: half a minute of exports that are stood in for.
pytestmark = pytest.mark.slow

PLAIN = Path(__file__).parents[2] / "golden" / "plain"
MODELS = {"detect": "shapes", "segment": "shapes-seg", "pose": "shapes-pose", "obb": "shapes-obb"}
ZIP = b"PK\x03\x04 and so on"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)], catch_exceptions=False)


def refusal(*arguments: object) -> str:
    found = run(*arguments)
    assert found.exit_code == 2, found.output
    assert found.stdout == ""
    return found.stderr.splitlines()[-1]


@pytest.fixture
def weights_file(tmp_path):
    """What begins as weights do."""
    path = tmp_path / "best.pt"
    path.write_bytes(ZIP)
    return path


@pytest.fixture
def installed(monkeypatch):
    """As if the packages of the extra were here."""
    monkeypatch.setattr(checks.util, "find_spec", lambda name: name)
    monkeypatch.setattr(checks.metadata, "version", lambda name: "8.4.190")
    monkeypatch.setattr(speed, "MAX_PAIRS", speed.MIN_PAIRS)  # the speed is not what is tested here


# ---- what is refused at once ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--half", "--int8"], "exclude each other"),
        (["--int8"], "--int8 needs --calibrate DIR"),
        (["--plain", "--half"], "--plain leaves out the optimisation"),
        (["--plain", "--int8", "--calibrate", "."], "--plain leaves out the optimisation"),
        (["--batch", "4"], "--batch 4 goes with --static"),
        (["--static", "--batch", "0"], "expected a number of images to 4096, or the word dynamic"),
        (["--static", "--batch", "9" * 30], "expected a number of images to 4096"),
        (["--static", "--batch", "free"], "expected a number of images to 4096"),
        (["--imgsz", "16"], "--imgsz 16,16: expected sides from 32 to 8192"),
        (["--imgsz", "640,9000"], "--imgsz 640,9000: expected sides from 32 to 8192"),
        (["--imgsz", "640x480"], "expected a whole number such as 640, or two such as 480,640"),
        (["--opset", "3"], "3 is not in the range x>=9"),
        (["--min-agreement", "2"], "2.0 is not in the range 0<=x<=1"),
        (["-o", "."], ". is a folder: name the file to write"),
        (["-o", "there/is/none.onnx"], "there is no folder there/is"),
        (["-o", "other.pt"], "-o other.pt names weights"),
        (["--report", "best.onnx"], "--report best.onnx is the name of another file here"),
        (["--report", "best.pt"], "--report best.pt is the name of another file here"),
        (["--calibrate", "nowhere"], "nowhere is no folder"),
        (["--opset", "500"], "--opset 500: onnxruntime"),
    ],
)
def test_arguments_are_checked_first(weights_file, installed, monkeypatch, options, message):
    monkeypatch.chdir(weights_file.parent)
    assert message in refusal("best.pt", *options)
    assert [path.name for path in weights_file.parent.iterdir()] == ["best.pt"]
    assert weights_file.read_bytes() == ZIP


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "best.pt",
            b"no weights at all",
            "is no PyTorch file: expected what Ultralytics saves after training",
        ),
        ("best.pt", b"", "is no PyTorch file"),
        ("yolov8n.pt", None, "does not exist: yolean downloads nothing; fetch the file first"),
        ("best.onnx", b"onnx", "what is exported already is for yolean optimize"),
        ("best.yaml", b"nc: 80", "is no .pt file: expected the weights of a trained YOLO"),
        ("yolov8n", None, "is no .pt file"),
    ],
)
def test_what_is_no_weights_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    line = refusal(path)
    assert message in line
    assert str(path) in line


def test_a_folder_is_no_weights(tmp_path):
    (tmp_path / "best.pt").mkdir()
    assert "cannot be read: " in refusal(tmp_path / "best.pt")


def test_what_exists_is_kept(weights_file, installed):
    target = weights_file.with_suffix(".onnx")
    target.write_text("mine")
    assert "add --overwrite to replace it" in refusal(weights_file)
    assert target.read_text() == "mine"


def test_weights_are_not_their_own_target(tmp_path, installed):
    path = tmp_path / "best.PT"
    path.write_bytes(ZIP)
    (tmp_path / "link.onnx").symlink_to(path)
    assert "names weights" in refusal(path, "-o", tmp_path / "link.onnx", "--overwrite")


# ---- packages ---------------------------------------------------------------------------------------------


def test_missing_packages_are_named_with_the_command(weights_file, monkeypatch):
    monkeypatch.setattr(checks.util, "find_spec", lambda name: name == "onnx" or None)
    line = refusal(weights_file)
    assert line == f"Error: this needs ultralytics and torch and onnxslim: {install_command('export')}"


def test_an_old_ultralytics_is_refused(weights_file, installed, monkeypatch):
    monkeypatch.setattr(checks.metadata, "version", lambda name: "8.4.99")
    line = refusal(weights_file)
    assert f"ultralytics 8.4.99 is too old: {install_command('export')} brings 8.4.142 or newer" in line


@pytest.mark.parametrize("module", ["yolean"])
def test_without_onnx(weights_file, module):
    code = f"""import runpy, sys
sys.modules["onnx"] = None
sys.argv[1:] = {["export"] if module == "yolean" else []} + [{str(weights_file)!r}]
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: this needs onnx: {install_command('export')}\n"


def test_help_warns_of_foreign_weights():
    text = " ".join(run("--help").output.split())
    assert "export only weights that you trust" in text
    assert 'pip install ".[export]"' in text


# ---- from the plain file on -------------------------------------------------------------------------------


def stand_in(name: str, change: Any = lambda asked: asked, conf: float = 0.25) -> Any:
    """What takes torch's part: a plain file that is at hand, and its own answers as PyTorch's."""

    def work(request: ExportRequest, on_progress: Any) -> ExportResult:
        on_progress("exporting", 0, 1)
        file = request.folder / f"{request.weights.stem}.onnx"
        shutil.copy(PLAIN / f"{name}.onnx", file)
        engine = yolean.load(file, device="cpu")
        asked = []
        for path in demo_images()[:2]:
            kept = Prediction.from_result(engine(path, conf=conf, iou=pytorch.IOU)[0])
            crowd = (
                Prediction.from_result(
                    engine(path, conf=conf, iou=1.0, max_det=equality.MAX_REFERENCE_CANDIDATES)[0]
                )
                if request.candidates
                else None
            )
            asked.append(change(ReferencePrediction(path, kept, crowd)))
        return ExportResult(
            file,
            engine.spec.imgsz,
            engine.spec.stride,
            conf,
            asked,
            demo_images()[0].parent,
            {"torch": "2"},
        )

    return work


@pytest.fixture
def make(weights_file, installed):
    """Runs a job with a stand-in for torch."""

    def made(work: Any, on_progress: Any = lambda *step: None, **options: Any) -> Any:
        return export(ExportOptions(weights_file, **options), on_progress, work)

    return made


@pytest.mark.parametrize("name", [*MODELS.values(), "shapes-cls"])
@pytest.mark.parametrize("plain", [False, True])
def test_answers_that_agree(make, weights_file, name, plain):
    stages: list[str] = []
    report = make(stand_in(name), lambda stage, *steps: stages.append(stage), plain=plain)
    target = weights_file.with_suffix(".onnx")
    assert report.problems == []
    assert report.written
    assert report.verified.batches == (1, 2, 3)
    assert report.bytes == target.stat().st_size
    assert (report.optimized is None) == plain
    engine = yolean.load(target, device="cpu")
    assert engine.spec.layout.kind == report.layout
    assert (report.layout == "lean") != (plain or name == "shapes-cls")
    assert sorted(path.name for path in target.parent.iterdir()) == ["best.onnx", "best.pt"]
    assert json.loads(json.dumps(report.as_dict()))["versions"]["torch"] == "2"
    assert stages[0] == "exporting"
    assert stages[-1] == "writing"
    assert stages.count("writing") == 1
    assert stages[-2] == "verifying"
    assert ("comparing" in stages) != plain


def shifted(asked: ReferencePrediction, pixels: float = 2.0) -> ReferencePrediction:
    for one in (asked.kept, asked.candidates):
        if one is not None and one.boxes is not None:
            one.boxes.xyxy[:] += pixels
    return asked


def rescored(asked: ReferencePrediction) -> ReferencePrediction:
    def lower(one: Prediction | None) -> Prediction | None:
        return one and replace(one, boxes=replace(one.boxes, conf=one.boxes.conf - np.float32(0.01)))

    return replace(asked, kept=lower(asked.kept), candidates=lower(asked.candidates))


def without_the_first(asked: ReferencePrediction) -> ReferencePrediction:
    def rest(one: Prediction | None) -> Prediction | None:
        if one is None or one.boxes is None:
            return one
        boxes = one.boxes
        return replace(one, boxes=Boxes(boxes.conf[1:], boxes.cls[1:], boxes.xyxy[1:]))

    return replace(asked, kept=rest(asked.kept), candidates=rest(asked.candidates))


def unmasked(asked: ReferencePrediction) -> ReferencePrediction:
    def without_rows(one: Prediction) -> Prediction:
        masks = one.masks.data.copy()
        masks[:, ::3] = 0
        return replace(one, masks=PackedMasks(masks))

    return replace(asked, kept=without_rows(asked.kept), candidates=without_rows(asked.candidates))


def moved_points(asked: ReferencePrediction) -> ReferencePrediction:
    asked.kept.keypoints.data[..., :2] += 3
    asked.candidates.keypoints.data[..., :2] += 3
    return asked


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("shapes", shifted, "its answers differ from PyTorch's: box by 2 px, more than"),
        ("shapes", rescored, "its answers differ from PyTorch's: score by 0.01, more than 0.005"),
        ("shapes", without_the_first, "2 objects found by PyTorch alone or by the file alone"),
        ("shapes-seg", unmasked, "its answers differ from PyTorch's: mask by"),
        ("shapes-pose", moved_points, "its answers differ from PyTorch's: keypoints by 3 px"),
    ],
)
def test_answers_that_differ_are_not_written(make, weights_file, name, change, message):
    report = make(stand_in(name, change))
    assert any(message in problem for problem in report.problems), report.problems
    assert not report.written
    assert [path.name for path in weights_file.parent.iterdir()] == ["best.pt"]
    forced = make(stand_in(name, change), force=True)
    assert forced.problems
    assert forced.written
    assert weights_file.with_suffix(".onnx").exists()


def test_exit_status_and_lines(weights_file, installed, monkeypatch):
    monkeypatch.setattr(weights, "run_in_child", stand_in("shapes", shifted))
    found = run(weights_file, "--report", weights_file.with_suffix(".json"))
    assert found.exit_code == 3
    assert found.stdout.splitlines()[-1] == "Nothing was written; --force writes it all the same."
    assert "  PROBLEM    its answers differ from PyTorch's: box by 2 px" in found.stdout
    told = json.loads(weights_file.with_suffix(".json").read_text())
    assert told["problems"]
    assert not told["written"]
    assert not told["optimized"]["written"]
    monkeypatch.setattr(weights, "run_in_child", stand_in("shapes"))
    found = run(weights_file, "--half", "--threads", "1")
    assert (found.exit_code, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert lines[0] == f"best.pt -> {weights_file.parent / 'best-half.onnx'}"
    assert "fp16" in lines[1]
    assert lines[2] == "  input      any height and width, 320x320 by default; any number of images a run"
    assert lines[3].startswith("  PyTorch    on 2 images: ")
    assert "recall 1.000, precision 1.000" in lines[3]


def test_boxes_of_equal_scores_may_change_places(make):
    """After suppression another box is left, and before it all are the same."""

    def swapped(asked: ReferencePrediction) -> ReferencePrediction:
        boxes = asked.kept.boxes
        moved = boxes.xyxy + np.array([9, 0, 9, 0], np.float32)
        return replace(asked, kept=replace(asked.kept, boxes=replace(boxes, xyxy=moved)))

    report = make(stand_in("shapes", swapped))
    assert report.problems == []
    assert any("objects of equal scores change places" in note for note in report.notes)
    assert report.verified.differences.box < 0.01


def test_objects_on_the_threshold_may_be_found_by_one_only(make):
    def more(asked: ReferencePrediction) -> ReferencePrediction:
        def added(one: Prediction) -> Prediction:
            boxes = one.boxes
            return replace(
                one,
                boxes=Boxes(
                    np.append(boxes.conf, np.float32(0.2549)),
                    np.append(boxes.cls, 0),
                    np.vstack((boxes.xyxy, [[0, 0, 5, 5]])),
                ),
            )

        return replace(asked, kept=added(asked.kept), candidates=added(asked.candidates))

    report = make(stand_in("shapes", more))
    assert report.problems == []
    assert len(report.verified.differences.missing) == 2


def test_what_finds_nothing_is_said(make):
    def nothing(asked: ReferencePrediction) -> ReferencePrediction:
        empty = Boxes(np.zeros(0, np.float32), np.zeros(0), np.zeros((0, 4), np.float32))
        return replace(asked, kept=replace(asked.kept, boxes=empty))

    report = make(stand_in("shapes", nothing, conf=1.0))
    assert "nothing in the 2 images scores above 1: no box was compared with PyTorch's" in report.notes


def test_a_lower_score_is_said(make):
    report = make(stand_in("shapes", conf=0.1))
    assert report.problems == []
    assert "PyTorch finds little in these images: compared is what scores above 0.1" in report.notes


def test_rounded_sizes_are_said(make):
    report = make(stand_in("shapes"), imgsz=(300, 320))
    assert "--imgsz 300x320 was rounded up to 320x320, a multiple of the stride 32" in report.notes


def test_int8_is_held_to_the_agreement(make, monkeypatch):
    """Quantising is tested elsewhere: here the report calls a float file INT8."""
    genuine = weights.optimizing.optimize
    monkeypatch.setattr(
        weights.optimizing,
        "optimize",
        lambda job, on_progress: genuine(replace(job, int8=False), on_progress),
    )
    folder = demo_images()[0].parent
    report = make(stand_in("shapes"), int8=True, images=folder)
    assert report.target.endswith("best-int8.onnx")
    assert report.problems == []
    report = make(stand_in("shapes", without_the_first), int8=True, images=folder, overwrite=True)
    assert any("recall or precision against PyTorch: 0." in problem for problem in report.problems)
    report = make(
        stand_in("shapes", without_the_first), int8=True, images=folder, overwrite=True, min_agreement=0.2
    )
    assert report.problems == []


@pytest.mark.parametrize(
    ("change", "message"), [(shifted, "overlap"), (rescored, "score"), (without_the_first, "found by")]
)
def test_half_precision_is_held_to_looser_numbers(make, change, message):
    assert make(stand_in("shapes"), half=True).problems == []
    far = {shifted: lambda asked: shifted(asked, 12), rescored: lambda asked: _times(asked, rescored, 7)}
    report = make(stand_in("shapes", far.get(change, change)), half=True, overwrite=True)
    assert any(message in problem for problem in report.problems), report.problems


def _times(asked: ReferencePrediction, change: Any, count: int) -> ReferencePrediction:
    for _ in range(count):
        asked = change(asked)
    return asked


def test_the_optimisations_errors_name_the_weights(make, weights_file, monkeypatch):
    def fails(job: Any, on_progress: Any) -> Any:
        raise ModelError(f"{job.source} is quantised already: start from the float export")

    monkeypatch.setattr(weights.optimizing, "optimize", fails)
    with pytest.raises(ModelError, match=r"^the export of .*best\.pt is quantised already"):
        make(stand_in("shapes"))


@pytest.mark.parametrize(
    ("options", "name"),
    [({}, "yolov8n.onnx"), ({"half": True}, "yolov8n-half.onnx"), ({"int8": True}, "yolov8n-int8.onnx")],
)
def test_default_targets(options, name):
    assert default_target(ExportOptions(Path("here/yolov8n.pt"), **options)) == Path("here") / name


# ---- fixed sides, free batch ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MODELS.values(), "shapes-cls"])
@pytest.mark.parametrize("size", [(320, 320), (192, 320)])
def test_sides_are_fixed_and_the_batch_stays_free(tmp_path, name, size):
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


def test_a_free_batch_of_fixed_sides_is_made(make, weights_file):
    report = make(stand_in("shapes"), static=True)
    assert (report.dynamic, report.batch, report.imgsz) == (False, None, (320, 320))
    assert report.verified.batches == (1, 2, 3)


# ---- the process that torch runs in -----------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A module that the other process can import."""
    (tmp_path / "elsewhere.py").write_text(
        """
import os, signal, sys, tempfile
from pathlib import Path
from yolean.engine.errors import InputError

def adds(numbers, on_progress):
    on_progress("adding", 1, 2)
    print("chatter")
    os.system("echo more of it >&2")
    return sum(numbers)

def refuses(text, on_progress): raise InputError(text)
def fails(text, on_progress): raise KeyError(text)
def leaves(text, on_progress):
    print(text, file=sys.stderr)
    os._exit(5)
def dies(name, on_progress): os.kill(os.getpid(), getattr(signal, name))
def litters(argument, on_progress): return tempfile.mkdtemp()
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    import elsewhere

    yield elsewhere
    del sys.modules["elsewhere"]


def test_a_call_in_another_process(elsewhere, tmp_path, capfd):
    told: list[Any] = []
    log = tmp_path / "log.txt"
    assert call(elsewhere.adds, [1, 2, 3], lambda *step: told.append(step), log) == 6
    assert told == [("adding", 1, 2)]
    assert capfd.readouterr() == ("", "")
    assert sorted(log.read_text().splitlines()) == ["chatter", "more of it"]


@pytest.mark.parametrize(
    ("function", "argument", "error", "message"),
    [
        ("refuses", "no such thing", InputError, "^no such thing$"),
        ("fails", "inner", ModelError, "KeyError: 'inner'"),
        ("leaves", "first\nlast words\n\n", ModelError, "has ended early: last words"),
        ("leaves", "", ModelError, "has ended early: exit status 5"),
        ("dies", "SIGKILL", ModelError, "killed by SIGKILL, which may mean that memory ran out"),
        ("dies", "SIGSEGV", ModelError, "killed by SIGSEGV$"),
    ],
)
def test_calls_that_fail(elsewhere, tmp_path, function, argument, error, message):
    with pytest.raises(error, match=message):
        call(getattr(elsewhere, function), argument, lambda *step: None, tmp_path / "log.txt")


def test_temporary_files_of_the_other_process_go_with_the_log(elsewhere, tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    assert Path(call(elsewhere.litters, None, lambda *step: None, folder / "log.txt")).parent == folder


# ---- what is read of a network ----------------------------------------------------------------------------


def network(head: str, task: str = "detect", channels: int = 3, **attributes: Any) -> Any:
    last = type(head, (), attributes)()
    return SimpleNamespace(task=task, model=SimpleNamespace(model=[None, last], yaml={"channels": channels}))


def request(**options: Any) -> ExportRequest:
    values = {"imgsz": None, "static": False, "batch": None, "opset": None, "end2end": False, "images": ()}
    return ExportRequest(Path("best.pt"), Path("."), candidates=False, threads=1, **(values | options))


@pytest.mark.parametrize("head", pytorch.RUNNABLE_HEADS)
def test_known_heads_are_taken(head):
    pytorch._check(network(head), request())
    pytorch._check(network(head, channels=1, one2one_cv2=[]), request(end2end=True))


@pytest.mark.parametrize(
    ("yolo", "options", "message"),
    [
        (network("RTDETRDecoder"), {}, "best.pt is RT-DETR, which is no YOLO: yolean runs YOLOv5u, v8"),
        (network("WorldDetect"), {}, "is a YOLO-World, whose classes are texts"),
        (network("YOLOESegment", "segment"), {}, "is a YOLOE, whose classes are texts or images"),
        (
            network("SemanticSegment", "semantic"),
            {},
            "is a network for semantic with the head SemanticSegment",
        ),
        (network("Depth", "depth"), {}, "is a network for depth"),
        (network("MyDetect"), {}, "is a network for detect with the head MyDetect"),
        (network("Detect", channels=10), {}, "takes 10 channels: yolean reads images with 1 or 3"),
        (network("Detect"), {"end2end": True}, "--end2end: best.pt has no end-to-end head"),
        (network("Detect", one2one_cv2=None), {"end2end": True}, "leave --end2end out"),
    ],
)
def test_unknown_networks_are_refused(yolo, options, message):
    with pytest.raises(YoleanError, match=message):
        pytorch._check(yolo, request(**options))


def test_advice_is_left_out():
    assert (
        pytorch._first_sentence("the file is cut (zip: no end. Really). Get another.\nOr not")
        == "the file is cut (zip: no end)"
    )
    assert pytorch._first_sentence("v8.4 is needed\nUpdate") == "v8.4 is needed"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ERROR ❌️ /tmp/weights.pt is no checkpoint.\nLoad", "/tmp/weights.pt is no checkpoint.\nLoad"),
        ("ERROR: a b", "ERROR: a b"),
        ("plain words", "plain words"),
        ("", "ValueError"),
    ],
)
def test_ornaments_are_left_out(text, told):
    assert pytorch._told(ValueError(text)) == told


def test_masks_are_packed():
    masks = np.random.default_rng(0).integers(0, 2, (3, 5, 13), np.uint8)
    packed = PackedMasks(masks)
    np.testing.assert_array_equal(packed.data, masks)
    np.testing.assert_array_equal(packed[1:2].data, masks[1:2])
    assert PackedMasks(masks[:0]).data.shape == (0, 5, 13)
