from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from yolean.engine.errors import DeviceError, InputError
from yolean.engine.runtime import devices
from yolean.engine.runtime.devices import Device, candidates, provider_options

EVERYTHING = list(devices.PROVIDERS.values())


def test_candidates() -> None:
    for device, available, expected in [
        ("cpu", ["CPUExecutionProvider"], ["cpu"]),
        ("auto", ["AzureExecutionProvider", "CPUExecutionProvider"], ["cpu"]),
        # TensorRT builds for minutes, and CoreML changes answers: neither is taken unasked
        ("auto", EVERYTHING, ["cuda", "directml", "openvino", "cpu"]),
        ("cuda", EVERYTHING, ["cuda"]),  # no fallback beside a named device
        ("CUDA:1", EVERYTHING, ["cuda:1"]),
        ("tensorrt:0", EVERYTHING, ["tensorrt:0"]),
        ("openvino:gpu", EVERYTHING, ["openvino:GPU"]),
    ]:
        assert [str(d) for d in candidates(device, available)] == expected


def test_unknown_devices_are_named() -> None:
    for device in ["gpu", "", "cuda:x", "cuda:-1", "cpu:0", "mps"]:
        with pytest.raises(InputError, match="unknown device"):
            candidates(device, EVERYTHING)


def test_words_of_other_frameworks_are_understood() -> None:
    for device, meant in [("gpu", "cuda"), ("0", "cuda:0"), ("MPS", "coreml")]:
        with pytest.raises(InputError, match=f"did you mean {meant}"):
            candidates(device, EVERYTHING)


def test_a_device_without_its_provider_names_the_wheel() -> None:
    with pytest.raises(DeviceError, match="pip install onnxruntime-gpu"):
        candidates("cuda", ["CPUExecutionProvider"])


def test_cuda_options() -> None:
    (name, options), cpu = provider_options(Device("cuda", "1"), b"", 2, None, cuda_graph=True)
    assert name == "CUDAExecutionProvider"
    assert cpu == ("CPUExecutionProvider", {})
    assert options["device_id"] == 1
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["enable_cuda_graph"] == 1
    assert options["use_tf32"] == 1
    assert provider_options(Device("cuda"), b"", 2, "fp32", False)[0][1]["use_tf32"] == 0


def test_tensorrt_engines_are_kept_by_model_and_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("YOLEAN_CACHE", str(tmp_path))
    one, other, half = (
        provider_options(Device("tensorrt"), data, 2, precision, False)[0][1]["trt_engine_cache_path"]
        for data, precision in ((b"one", None), (b"other", None), (b"one", "fp16"))
    )
    assert len({one, other, half}) == 3
    assert len(list((tmp_path / "tensorrt").iterdir())) == 3


@pytest.mark.parametrize(
    ("native", "precision", "hint"),
    [(True, None, "bf16"), (False, None, "f32"), (True, "fp32", "f32"), (False, "bf16", "bf16")],
)
def test_openvino_takes_bf16_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch, native: Any, precision: Any, hint: Any
) -> None:
    monkeypatch.setattr(devices, "has_cpu_flag", lambda *flags: native)
    options = provider_options(Device("openvino"), b"", 3, precision, False)[0][1]
    config = json.loads(options["load_config"])["CPU"]
    assert config["INFERENCE_PRECISION_HINT"] == hint
    assert config["INFERENCE_NUM_THREADS"] == 3


def test_a_precision_the_device_lacks_is_refused() -> None:
    for device, precision in [("cpu", "fp16"), ("cuda", "bf16"), ("openvino", "int8")]:
        with pytest.raises(InputError, match=f"precision='{precision}' is not one of {device}'s"):
            provider_options(Device(device), b"", 2, precision, False)


def fake_runtime(folder: Any, *wheels: Any) -> Any:
    package = folder / "onnxruntime"
    package.mkdir()
    for wheel in wheels:
        (folder / f"{wheel}-1.30.0.dist-info").mkdir()
    return SimpleNamespace(__path__=[str(package)], InferenceSession=object)


def test_two_wheels_are_an_error_that_names_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake_runtime(tmp_path, "onnxruntime", "onnxruntime_gpu", "onnxruntime_extensions")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", runtime)
    with pytest.raises(DeviceError, match="pip uninstall -y onnxruntime onnxruntime-gpu && pip install"):
        devices.import_runtime()


def test_one_wheel_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake_runtime(tmp_path, "onnxruntime_gpu")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", runtime)
    assert devices.import_runtime() is runtime


def test_a_missing_runtime_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match="pip install"):
        devices.import_runtime()


def test_an_emptied_runtime_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = fake_runtime(tmp_path, "onnxruntime")
    del runtime.InferenceSession
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", runtime)
    with pytest.raises(DeviceError, match="--force-reinstall"):
        devices.import_runtime()
