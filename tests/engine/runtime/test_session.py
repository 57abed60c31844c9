from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime.datasets import get_example
from yolean.engine.errors import DeviceError, InputError, ModelError
from yolean.engine.runtime import session as module
from yolean.engine.runtime.binding import Binding
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


@pytest.mark.slow
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
