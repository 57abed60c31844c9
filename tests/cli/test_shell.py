"""Errors of every command are one line and an exit status; bugs keep their traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from invocation import ENV, IMAGE, SHAPES, run, start
from yolean.engine.pipeline import Engine


def test_errors_have_no_traceback_and_leave_stdout_alone(here: Path) -> None:
    with start("predict", IMAGE, "--model", "missing.onnx") as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err == "Error: missing.onnx does not exist: expected an .onnx file\n"


@pytest.mark.slow
def test_a_module_that_does_not_start_is_one_line_and_the_doctor_answers(here: Path) -> None:
    modules = ("numpy", "cv2", "onnxruntime")

    def without(*broken: str) -> dict[str, str]:
        """The environment of a process in which these modules do not start."""
        folder = here / "-".join(broken)
        for module in broken:
            (folder / module).mkdir(parents=True)
            (folder / module / "__init__.py").write_text(f"raise ImportError('{module} does not start')")
        return ENV | {"PYTHONPATH": f"{folder}{os.pathsep}{ENV['PYTHONPATH']}"}

    for module in modules:
        with start("predict", env=without(module)) as process:
            _, err = process.communicate()  # OpenCV prints advice of its own where numpy is missing
        assert process.returncode == 2
        (line,) = err.splitlines()
        assert line.startswith("Error: ")
        assert f"{module} does not start" in line
    with start("doctor", env=without(*modules)) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (1, "")
    for module in modules:
        assert f"fail  {module}" in out
        assert f"{module} does not start" in out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full exists on Linux only")
def test_a_full_disk_behind_the_standard_output_is_one_line(image: Path) -> None:
    with open("/dev/full", "w") as full, start("predict", image, "-m", SHAPES, stdout=full) as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in err
    assert "cannot write the output" in err


def test_a_bug_keeps_its_traceback(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "stream", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("predict", image, "-m", SHAPES)
