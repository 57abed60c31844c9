"""What the doctor says of installations that are well, and of those that are broken in the usual ways."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from yolean.engine import diagnostics
from yolean.engine.diagnostics import Finding, examine

RUNTIME = """
__version__ = '1.25.0'
class InferenceSession: pass
def get_available_providers(): return ['CUDAExecutionProvider', 'CPUExecutionProvider']
def preload_dlls(directory): print('Failed to load libcublas.so.12')
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands before all others on `sys.path`, with stand-ins for what takes long to import."""
    for name in ("numpy", "cv2"):
        package(tmp_path, name, "__version__ = '99.0'")
    package(tmp_path, "onnxruntime", RUNTIME.replace("'CUDAExecutionProvider', ", ""))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def package(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "__init__.py").write_text(code)


def wheel(folder: Path, name: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


def look(about: str) -> Finding:
    """The worst finding about a part."""
    levels = ("ok", "warn", "fail")
    return max((f for f in examine() if f.about == about), key=lambda f: levels.index(f.level))


def test_this_installation_is_well() -> None:
    findings = list(examine())
    assert [f for f in findings if f.level == "fail"] == []
    assert all(bool(f.advice) is (f.level != "ok") for f in findings)
    abouts = [f.about for f in findings]
    for part in ("yolean", "cores", "cpu", "numpy", "cv2", "onnxruntime", "providers", "run on cpu"):
        assert part in abouts
    assert "CPU" in next(f.what for f in findings if f.about == "providers")
    assert not any("\n" in f.what + f.advice for f in findings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "code", "what", "advice"),
    [
        (
            "onnxruntime",
            "raise ModuleNotFoundError(\"No module named 'onnxruntime'\")",
            "is not installed",
            "pip install onnxruntime (or onnxruntime-gpu for NVIDIA, onnxruntime-openvino for Intel)",
        ),
        # What `pip uninstall onnxruntime` leaves of onnxruntime-gpu: no version, no session.
        ("onnxruntime", "", "its folder is empty", "--force-reinstall onnxruntime"),
        ("numpy", "raise ImportError('made for\\n\\nPython 2')", "does not start: Python 2", "numpy"),
        # The GUI build in a slim container.
        (
            "cv2",
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            "does not start: libGL.so.1",
            "pip install opencv-python-headless, which needs no desktop libraries",
        ),
        (
            "cv2",
            "import numpy_of_another_world",
            "No module named 'numpy_of_another_world'",
            "--force-reinstall",
        ),
        ("cv2", "raise ImportError(\"No module named 'numpy'\")", "without numpy", "install numpy first"),
        ("cv2", "raise SystemExit(3)", "exit status 3", "--force-reinstall"),
    ],
)
def test_a_module_that_does_not_start(fake: Path, module: str, code: str, what: str, advice: str) -> None:
    package(fake, module, code)
    finding = look(module)
    assert finding.level == "fail"
    assert what in finding.what
    assert advice in finding.advice


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_wheel_for_another_cpu_does_not_kill_the_doctor(fake: Path) -> None:
    package(fake, "onnxruntime", f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})")
    finding = look("onnxruntime")
    assert finding.level == "fail"
    assert "SIGILL, it was built for another CPU" in finding.what


def test_an_old_module_is_worth_a_look(fake: Path) -> None:
    package(fake, "numpy", "__version__ = '1.9.3'\n")
    finding = look("numpy")
    assert finding.level == "warn"
    assert finding.what == "1.9.3 is older than 1.26"
    assert finding.advice == "pip install -U 'numpy>=1.26'"


def test_two_runtimes_in_one_folder(fake: Path) -> None:
    wheel(fake, "onnxruntime")
    wheel(fake, "onnxruntime-gpu")
    finding = look("onnxruntime")
    assert finding.level == "fail"
    assert "onnxruntime and onnxruntime-gpu are both installed" in finding.what
    assert finding.advice == ("pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu")


@pytest.mark.slow
def test_two_builds_of_opencv_in_one_folder(fake: Path) -> None:
    wheel(fake, "opencv-python")
    wheel(fake, "opencv_python_headless")
    finding = look("opencv")
    assert finding.level == "warn"  # it works until one of them is removed
    assert finding.advice == (
        "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless"
    )


@pytest.mark.slow
def test_a_wheel_further_down_the_path_breaks_nothing(fake: Path) -> None:
    wheel(fake, "onnxruntime-gpu")  # the real one lies in another folder
    wheel(fake, "onnxruntime-extensions")  # shares its name's beginning only
    assert look("onnxruntime").level == "ok"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="names of Linux libraries")
def test_cuda_without_its_libraries(fake: Path) -> None:
    package(fake, "onnxruntime", RUNTIME)
    wheel(fake, "onnxruntime-gpu")
    (fake / "onnxruntime" / "capi").mkdir()
    library = fake / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so"
    library.write_bytes(b"no library")
    finding = look("run on cuda")
    assert finding.level == "fail"
    assert finding.what.startswith("its libraries are not found: ")
    assert library.name in finding.what
    assert "onnxruntime-gpu[cuda,cudnn]" in finding.advice


@pytest.mark.slow
def test_a_runtime_that_imports_but_does_not_run(fake: Path) -> None:
    finding = look("run on cpu")
    assert finding.level == "fail"
    assert finding.what.startswith("the demo model does not run: ")
    assert "--force-reinstall" in finding.advice


def nothing_runs(code: str, *arguments: str) -> tuple[bool, str]:
    return False, "not of interest"


def test_a_quota_below_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "cpu_quota", lambda: 0.5)
    findings = [f for f in examine(nothing_runs) if f.about == "cores"]
    assert "the container's quota is 0.5" in findings[0].what
    assert findings[1].level == "warn"


@pytest.mark.parametrize(
    ("machine", "flags", "level", "what"),
    [
        ("x86_64", {"fpu"}, "warn", "no avx2"),
        ("x86_64", {"fpu", "avx2", "avx512f", "avx512_bf16"}, "ok", "avx2 avx512 bf16"),
        ("aarch64", {"asimddp", "bf16"}, "ok", "bf16 dotprod"),
        ("AMD64", set(), "ok", "does not list"),  # Windows and macOS have no /proc/cpuinfo
    ],
)
def test_the_features_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: set[str], level: str, what: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(diagnostics, "has_cpu_flag", lambda *names: not flags.isdisjoint(names))
    finding = next(f for f in examine(nothing_runs) if f.about == "cpu")
    assert finding.level == level
    assert what in finding.what


def test_an_import_that_hangs(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(fake, "numpy", "import time; time.sleep(60)")
    monkeypatch.setattr(diagnostics, "TIMEOUT", 0.5)
    assert "no answer after 0.5 seconds" in look("numpy").what
