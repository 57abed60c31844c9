"""The application of Ray Serve, before it reaches a cluster: `tests/serving/test_ray_replicas.py` has one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from yolean.engine.errors import InputError
from yolean.replicas.variables import variables

ASK = "import sys; sys.modules['ray'] = None; import yolean.ray_serve as m; m.application()"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("YOLEAN_")]:
        monkeypatch.delenv(name)


def test_without_ray_the_extra_is_named() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("yolean.engine.errors.InputError: Ray Serve needs ray: pip install")


def test_paths_are_absolute_for_processes_in_other_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.onnx").touch()
    (tmp_path / "keys").write_text("key")
    monkeypatch.setenv("YOLEAN_MODELS", "a.onnx\nb=a.onnx")
    monkeypatch.setenv("YOLEAN_API_KEYS", "keys")
    monkeypatch.setenv("YOLEAN_MAX_QUEUE", "7")
    assert variables() == {
        "YOLEAN_MODELS": f"{tmp_path}/a.onnx\nb={tmp_path}/a.onnx\n",
        "YOLEAN_API_KEYS": f"{tmp_path}/keys",
        "YOLEAN_MAX_QUEUE": "7",
    }


@pytest.mark.parametrize("models", ["/on/the/nodes", "a=/on/a.onnx\n/on/b.onnx", "s3://bucket/models"])
def test_what_is_on_the_nodes_alone_is_left_to_them(monkeypatch: pytest.MonkeyPatch, models: str) -> None:
    monkeypatch.setenv("YOLEAN_MODELS", models)
    monkeypatch.setenv("YOLEAN_API_KEYS", "/on/the/nodes/keys")
    assert variables() == {"YOLEAN_MODELS": models, "YOLEAN_API_KEYS": "/on/the/nodes/keys"}


@pytest.mark.parametrize("name", ["YOLEAN_MODELS", "YOLEAN_API_KEYS"])
def test_a_relative_path_is_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "nothing")
    with pytest.raises(InputError, match=r"does not exist|no such file"):
        variables()
