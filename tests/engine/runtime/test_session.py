from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.datasets import get_example
from yolean.engine.errors import DeviceError, InputError, ModelError
from yolean.engine.runtime import session as module
from yolean.engine.runtime.binding import Binding
from yolean.engine.runtime.ort_errors import mapped
from yolean.engine.runtime.session import Session
from yolean.models import demo_model

MODEL = demo_model("detect")


@pytest.fixture(scope="module")
def image() -> Any:
    return np.random.default_rng(0).random((1, 3, 96, 128), np.float32)


@pytest.mark.parametrize("model", [MODEL, str(MODEL), MODEL.read_bytes()], ids=["Path", "str", "bytes"])
def test_loads_from_path_and_bytes(model: Any, image: Any) -> None:
    session = Session(model, "cpu", threads=1)
    assert (session.provider, str(session.device), session.threads) == ("CPUExecutionProvider", "cpu", 1)
    assert session.metadata["task"] == "detect"
    assert session.run(image)[0].shape[0] == 1


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


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "directml", "cuda:3"])
def test_a_named_device_is_used_or_refused(device: Any) -> None:
    if {"CUDAExecutionProvider", "DmlExecutionProvider"} & set(onnxruntime.get_available_providers()):
        pytest.skip("this machine's ONNX Runtime has GPU providers")
    with pytest.raises(DeviceError, match=r"which the installed ONNX Runtime lacks: .*onnxruntime-"):
        Session(MODEL, device)


def test_provider_that_does_not_come_up_is_refused_or_left_by_auto(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A CUDA version that does not fit gives a session on the CPU, and no error."""
    runtime = SimpleNamespace(
        SessionOptions=onnxruntime.SessionOptions,
        __version__=onnxruntime.__version__,
        set_default_logger_severity=lambda level: None,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )

    def on_the_cpu(model: Any, options: Any, providers: Any, provider_options: Any, **extra: Any) -> Any:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    runtime.InferenceSession = on_the_cpu
    monkeypatch.setattr(module, "import_runtime", lambda: runtime)
    with pytest.raises(DeviceError, match="could not start it"):
        Session(MODEL, "cuda")
    session = Session(MODEL, "auto")
    assert str(session.device) == "cpu"
    assert "falling back to cpu" in caplog.text


def test_providers_replace_what_the_device_implies() -> None:
    session = Session(MODEL, "cuda", providers=["CPUExecutionProvider"])
    assert str(session.device) == "cpu"
    with pytest.raises(DeviceError, match=r"NoSuchExecutionProvider.*has .*CPUExecutionProvider"):
        Session(MODEL, providers=["NoSuchExecutionProvider"])


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_out_of_range(threads: Any) -> None:
    with pytest.raises(InputError, match="from 1"):
        Session(MODEL, "cpu", threads=threads)


def test_wrong_arguments_are_input_errors() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"device": 0}, "device=0: expected a name"),
        ({"device": None}, "device=None"),
        ({"threads": "2"}, "threads='2'"),
        ({"threads": 10**12}, "to 1024"),
        ({"providers": [None]}, "expected names, or pairs"),
        ({"providers": [("CPUExecutionProvider",)]}, "expected names, or pairs"),
        ({"providers": ["CPUExecutionProvider"], "precision": "fp32"}, "belongs to device="),
        ({"device": "cpu", "cuda_graph": True}, "only cuda replays graphs"),
    ]
    for options, message in cases:
        with pytest.raises(InputError, match=message):
            Session(MODEL, **options)


def raised(error: Any, *arguments: Any) -> None:
    with mapped(*arguments):
        raise error


def test_errors_of_a_device_and_of_weights_in_a_second_file() -> None:
    memory = RuntimeError("[ONNXRuntimeError] : 1 : FAIL : out of memory")
    with pytest.raises(DeviceError, match="CUDAExecutionProvider failed: out of memory"):
        raised(memory, "CUDAExecutionProvider", (1, 3, 8, 8))
    data = RuntimeError("[ONNXRuntimeError] : 1 : FAIL : External data path does not exist")
    with pytest.raises(ModelError, match="second file"):
        raised(data, "CPUExecutionProvider")
    with pytest.raises(KeyError):
        raised(KeyError("ours"), "CPUExecutionProvider")


def test_searching_cuda_prints_nothing_and_gives_standard_output_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It redirects, process-wide: two threads at once must not leave the output redirected."""

    def preload(directory: str) -> None:
        time.sleep(0.01)
        print("Failed to load")

    runtime = SimpleNamespace(preload_dlls=preload)
    before = sys.stdout
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: module._find_cuda(runtime), range(4)))
    assert sys.stdout is before
    assert capsys.readouterr().out == ""


def test_a_tensor_that_does_not_fit_is_a_model_error(image: Any) -> None:
    session = Session(MODEL, "cpu")
    with pytest.raises(ModelError, match=r"refuses an input of \(1, 2, 96, 128\)"):
        session.run(image[:, :2])
    with pytest.raises(ModelError, match="refuses an input"):
        session.run(image.astype(np.float64))


def test_runs_of_many_threads_equal_one(image: Any) -> None:
    session = Session(MODEL, "cpu", threads=2)
    inputs = [np.roll(image, i, axis=3) for i in range(16)]
    alone = [session.run(x)[0] for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda x: session.run(x)[0], inputs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bound_buffers_give_the_same_and_are_not_shared_with_results(image: Any) -> None:
    """The GPU's path through reused buffers, on the CPU's memory."""
    inner = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    binding = Binding(onnxruntime, inner, image, "cpu", 0)
    for shift in range(3):
        tensor = np.roll(image, shift, axis=2)
        np.testing.assert_array_equal(binding.run(tensor)[0], inner.run(None, {"images": tensor})[0])
    first = binding.run(image)
    kept = first[0].copy()
    binding.run(np.zeros_like(image))
    np.testing.assert_array_equal(first[0], kept)


def test_a_gpu_session_is_owned_by_one_thread(monkeypatch: pytest.MonkeyPatch, image: Any) -> None:
    """Many callers, one thread that runs, and buffers for a bounded number of shapes."""
    session = Session(MODEL, "cpu")
    names = set()
    original = Binding.__init__

    def on_the_cpu(self: Any, ort: Any, inner: Any, tensor: Any, kind: Any, unit: Any) -> None:
        import threading

        names.add(threading.current_thread().name)
        original(self, ort, inner, tensor, "cpu", unit)

    monkeypatch.setattr(Binding, "__init__", on_the_cpu)
    session._owner = ThreadPoolExecutor(1, "yolean-gpu")
    inputs = [image[:, :, : 32 * (1 + i % 3), : 32 * (1 + i % 4)].copy() for i in range(24)]
    with ThreadPoolExecutor(6) as pool:
        outputs = list(pool.map(session.run, inputs))
    assert names == {"yolean-gpu_0"}
    assert len(session._bound) <= 8
    plain = Session(MODEL, "cpu")
    for tensor, output in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(output[0], plain.run(tensor)[0])
    session.close()


def test_files_that_are_not_yolo_load_as_sessions() -> None:
    session = Session(Path(get_example("sigmoid.onnx")), "cpu")
    assert session.metadata == {}
    assert session.inputs[0].shape == (3, 4, 5)


def test_other_sessions_of_the_process_keep_their_thread_pools() -> None:
    """A global thread pool would forbid every other library its own."""
    code = (
        "import onnxruntime as ort, yolean, yolean.models as m;"
        "yolean.load(m.demo_model(), device='cpu').warmup();"
        "o = ort.SessionOptions(); o.intra_op_num_threads = 2;"
        "ort.InferenceSession(str(m.demo_model()), o, providers=['CPUExecutionProvider']); print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "fine", done.stderr
