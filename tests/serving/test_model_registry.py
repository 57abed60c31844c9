"""Models come, change and go while the server runs, and no request notices."""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from yolean.engine.errors import InputError
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.serving.model_registry import Registry
from yolean.serving.schemas import encode
from yolean.serving.settings import ModelSource

IMAGE = demo_images()[0].read_bytes()


class Loads(list[bool]):
    """The calls of `on_load`."""

    def __call__(self, loaded: bool) -> None:
        self.append(loaded)


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def watched(folder: Path, loads: Loads) -> Registry:
    """A registry of a folder with one model, `a`, that detects."""
    put(folder / "a.onnx", "detect")
    registry = Registry([ModelSource(folder)], "cpu", (1,), loads)
    assert registry.refresh()
    return registry


def put(path: Path, task: str) -> None:
    """A model of this task at this path, at once, as `mv` does it."""
    beside = path.with_suffix(".part")
    shutil.copyfile(demo_model(task), beside)
    os.replace(beside, path)


def tasks(registry: Registry) -> dict[str, str]:
    return {model_id: model.engine.task for model_id, model in registry.models.items()}


def refresh(registry: Registry, times: int = 1) -> list[bool]:
    """Refresh as the server does every two seconds; returns whether anything changed, each time."""
    return [registry.refresh(at_once=False) for _ in range(times)]


def test_nothing_is_there_before_the_first_refresh(folder: Path) -> None:
    put(folder / "a.onnx", "detect")
    registry = Registry([ModelSource(folder)], "cpu", (1,))
    assert not registry.is_ready
    assert (dict(registry.models), dict(registry.failures)) == ({}, {})


def test_a_model_is_loaded_warm_and_described(folder: Path, loads: Loads) -> None:
    put(folder / "b.onnx", "classify")
    put(folder / "a.onnx", "detect")
    (folder / "notes.txt").write_text("no model")
    (folder / "deeper").mkdir()
    put(folder / "deeper" / "c.onnx", "detect")
    registry = Registry([ModelSource(folder)], "cpu", (2, 1), loads)
    assert registry.refresh() is True
    assert registry.is_ready
    assert tasks(registry) == {"a": "detect", "b": "classify"}
    assert list(registry.models) == ["a", "b"]
    assert loads == [True, True]
    model = registry.models["a"]
    assert (model.id, model.path) == ("a", folder / "a.onnx")
    assert model.digest == sha256(demo_model("detect").read_bytes()).hexdigest()
    assert list(model.engines) == [2, 1]  # one for each number of threads, most first
    assert [engine.session.threads for engine in model.engines.values()] == [2, 1]
    assert model.engine is model.engines[2]
    assert model.batcher is None
    assert registry.refresh() is False  # nothing new


def test_files_and_folders_may_be_mixed_and_files_named(folder: Path, tmp_path: Path) -> None:
    put(folder / "a.onnx", "detect")
    put(tmp_path / "other.onnx", "classify")
    sources = [
        ModelSource(folder),
        ModelSource(tmp_path / "other.onnx"),
        ModelSource(tmp_path / "other.onnx", "my.id-1"),
    ]
    registry = Registry(sources, "cpu", (1,))
    registry.refresh()
    assert tasks(registry) == {"a": "detect", "my.id-1": "classify", "other": "classify"}


def test_a_folder_may_be_empty_for_now(folder: Path) -> None:
    registry = Registry([ModelSource(folder)], "cpu", (1,))
    assert registry.refresh() is False
    assert registry.is_ready
    assert dict(registry.models) == {}


# ---- new and replaced -------------------------------------------------------------------------------------


def test_a_new_file_is_loaded_at_the_refresh_after_the_one_that_saw_it(
    watched: Registry, folder: Path
) -> None:
    put(folder / "b.onnx", "classify")
    assert refresh(watched, 3) == [False, True, False]
    assert tasks(watched) == {"a": "detect", "b": "classify"}


def test_a_new_file_is_loaded_at_once_when_somebody_asks(watched: Registry, folder: Path) -> None:
    put(folder / "b.onnx", "classify")
    assert watched.refresh() is True
    assert tasks(watched) == {"a": "detect", "b": "classify"}


@pytest.mark.parametrize("by", ["rename", "writing over it", "rename, as old as before"])
def test_a_replaced_file_is_loaded_and_who_holds_the_old_one_is_not_disturbed(
    watched: Registry, folder: Path, by: str
) -> None:
    before, models = watched.models["a"], watched.models
    state = (folder / "a.onnx").stat()
    if by == "writing over it":
        (folder / "a.onnx").write_bytes(demo_model("classify").read_bytes())
    else:
        put(folder / "a.onnx", "classify")
    if by == "rename, as old as before":
        os.utime(folder / "a.onnx", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert refresh(watched, 3) == [False, True, False]
    after = watched.models["a"]
    assert tasks(watched) == {"a": "classify"}
    assert after.digest != before.digest
    assert after.loaded_at >= before.loaded_at
    assert models["a"] is before  # readers keep what they read
    (results,) = before.engine(IMAGE)
    assert results.task == "detect"
    assert len(results) > 3


def test_a_file_that_is_being_copied_is_not_loaded_before_it_rests(
    watched: Registry, folder: Path, loads: Loads
) -> None:
    content = demo_model("classify").read_bytes()
    piece = len(content) // 4
    for target in (folder / "a.onnx", folder / "b.onnx"):  # over a model, and beside it
        before = watched.models.get(target.stem)
        with target.open("wb") as file:
            for start in range(0, len(content), piece):
                file.write(content[start : start + piece])
                file.flush()
                assert refresh(watched) == [False]
                assert watched.models.get(target.stem) is before
        assert refresh(watched) == [True]
    assert tasks(watched) == {"a": "classify", "b": "classify"}
    assert loads == [True] * 3


# ---- removed ----------------------------------------------------------------------------------------------


def test_a_removed_file_is_served_for_one_more_refresh(watched: Registry, folder: Path) -> None:
    put(folder / "b.onnx", "classify")
    watched.refresh()
    (folder / "b.onnx").unlink()
    assert refresh(watched) == [False]
    assert tasks(watched) == {"a": "detect", "b": "classify"}
    assert refresh(watched, 2) == [True, False]
    assert tasks(watched) == {"a": "detect"}


def test_a_removed_file_is_not_served_any_more_when_somebody_asks(watched: Registry, folder: Path) -> None:
    (folder / "a.onnx").unlink()
    assert watched.refresh() is True
    assert tasks(watched) == {}
    put(folder / "a.onnx", "classify")
    assert watched.refresh() is True
    assert tasks(watched) == {"a": "classify"}


def test_a_file_that_is_away_for_a_moment_is_served_all_the_time(watched: Registry, folder: Path) -> None:
    (folder / "a.onnx").unlink()
    refresh(watched)
    assert tasks(watched) == {"a": "detect"}
    put(folder / "a.onnx", "classify")
    refresh(watched)
    assert tasks(watched) == {"a": "detect"}
    refresh(watched)
    assert tasks(watched) == {"a": "classify"}


def test_a_folder_that_was_away_brings_its_models_back(watched: Registry, folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    refresh(watched, 3)
    folder.with_name("away").rename(folder)
    refresh(watched, 2)
    assert tasks(watched) == {"a": "detect"}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_file_that_was_named_stays_served_while_it_is_away(folder: Path, at_once: bool) -> None:
    put(folder / "a.onnx", "detect")
    registry = Registry([ModelSource(folder / "a.onnx", "x")], "cpu", (1,))
    registry.refresh()
    model = registry.models["x"]
    (folder / "a.onnx").unlink()
    for _ in range(3):
        assert registry.refresh(at_once) is False
        assert registry.models == {"x": model}
    assert dict(registry.failures) == {}
    put(folder / "a.onnx", "classify")
    refresh(registry, 2)
    assert tasks(registry) == {"x": "classify"}


# ---- failures ---------------------------------------------------------------------------------------------


def test_a_broken_file_is_reported_and_the_others_are_served(folder: Path, loads: Loads) -> None:
    put(folder / "a.onnx", "detect")
    (folder / "b.onnx").write_bytes(b"no model at all")
    (folder / "c.onnx").write_bytes(b"")
    put(folder / "d.onnx", "classify")
    (folder / "e.onnx").mkdir()
    registry = Registry([ModelSource(folder)], "cpu", (1,), loads)
    registry.refresh()
    assert registry.is_ready
    assert tasks(registry) == {"a": "detect", "d": "classify"}
    assert list(registry.failures) == ["b", "c", "e"]
    assert loads == [True, False, False, True, False]
    for model_id, reason in registry.failures.items():
        assert f"{model_id}.onnx" in reason
        assert str(folder) not in reason, "whoever asks /health need not know our folders"
        assert "\n" not in reason
    assert registry.named_failures() == []  # nobody named them


def test_a_broken_replacement_leaves_the_model_of_before(
    watched: Registry, folder: Path, loads: Loads
) -> None:
    before = watched.models["a"]
    (folder / "a.onnx").write_bytes(demo_model("classify").read_bytes()[:1000])
    refresh(watched, 2)
    assert watched.models == {"a": before}
    assert list(watched.failures) == ["a"]
    assert loads == [True, False]
    refresh(watched, 3)
    assert loads == [True, False]  # it is not tried again as it is
    put(folder / "a.onnx", "classify")
    refresh(watched, 2)
    assert tasks(watched) == {"a": "classify"}
    assert dict(watched.failures) == {}


def test_what_failed_is_tried_again_when_somebody_asks(watched: Registry, folder: Path, loads: Loads) -> None:
    (folder / "b.onnx").write_bytes(b"junk")
    for _ in range(3):
        watched.refresh()
    assert loads == [True, False, False, False]  # and what did not fail is not loaded again
    assert list(watched.failures) == ["b"]


def test_a_broken_file_that_is_taken_away_is_no_failure_any_more(watched: Registry, folder: Path) -> None:
    (folder / "b.onnx").write_bytes(b"junk")
    watched.refresh()
    (folder / "b.onnx").rename(folder / "b.away")
    refresh(watched, 2)
    assert dict(watched.failures) == {}


def test_a_broken_file_that_comes_back_is_a_failure_again(watched: Registry, folder: Path) -> None:
    (folder / "b.onnx").write_bytes(b"junk")
    watched.refresh()
    (folder / "b.onnx").rename(folder / "b.away")
    refresh(watched, 2)
    (folder / "b.away").rename(folder / "b.onnx")
    refresh(watched, 2)
    assert list(watched.failures) == ["b"]


def test_a_broken_file_that_was_named_is_told_apart(folder: Path, tmp_path: Path) -> None:
    (folder / "in-folder.onnx").write_bytes(b"junk")
    (tmp_path / "named.onnx").write_bytes(b"junk")
    sources = [
        ModelSource(folder),
        ModelSource(tmp_path / "named.onnx"),
        ModelSource(tmp_path / "named.onnx", "x"),
    ]
    registry = Registry(sources, "cpu", (1,))
    registry.refresh()
    assert registry.failures.keys() == {"in-folder", "named", "x"}
    assert len(registry.named_failures()) == 2
    assert all("named.onnx" in reason for reason in registry.named_failures())


def test_a_file_whose_name_is_no_text_does_not_break_what_is_told_of_the_others(
    watched: Registry, folder: Path
) -> None:
    shutil.copyfile(demo_model("classify"), os.fsencode(folder) + b"/\xff.onnx")
    watched.refresh()
    assert "a" in watched.models
    encode([list(watched.models), watched.failures])  # as /health and /v1/models do


def test_a_file_that_was_named_and_is_not_there_is_a_failure(tmp_path: Path) -> None:
    registry = Registry([ModelSource(tmp_path / "a.onnx")], "cpu", (1,))
    registry.refresh()
    assert len(registry.named_failures()) == 1


def test_a_device_that_is_not_there_is_a_failure_of_every_model(folder: Path) -> None:
    put(folder / "a.onnx", "detect")
    registry = Registry([ModelSource(folder)], "nonsense", (1,))
    registry.refresh()
    assert dict(registry.models) == {}
    assert "nonsense" in registry.failures["a"]


# ---- two of one name --------------------------------------------------------------------------------------


def test_two_files_of_one_id_are_refused(folder: Path, tmp_path: Path) -> None:
    put(folder / "a.onnx", "detect")
    put(tmp_path / "a.onnx", "classify")
    put(tmp_path / "b.onnx", "classify")
    for sources in (
        [ModelSource(folder), ModelSource(tmp_path)],
        [ModelSource(folder / "a.onnx"), ModelSource(tmp_path / "a.onnx")],
        [ModelSource(folder / "a.onnx"), ModelSource(tmp_path / "b.onnx", "a")],
    ):
        registry = Registry(sources, "cpu", (1,))
        with pytest.raises(InputError, match="would both be called 'a'") as refusal:
            registry.refresh()
        assert "\n" not in str(refusal.value)
        assert str(tmp_path) not in str(refusal.value)  # whoever asks for a reload need not know our folders
        assert not registry.is_ready


def test_a_second_file_of_one_id_changes_nothing_until_it_is_gone(folder: Path, tmp_path: Path) -> None:
    put(folder / "a.onnx", "detect")
    other = tmp_path / "other"
    other.mkdir()
    registry = Registry([ModelSource(folder), ModelSource(other)], "cpu", (1,))
    registry.refresh()
    models = registry.models
    put(other / "a.onnx", "classify")
    for _ in range(2):
        with pytest.raises(InputError, match="would both be called"):
            registry.refresh(at_once=False)
    assert registry.models is models
    (other / "a.onnx").rename(other / "b.onnx")
    refresh(registry, 2)
    assert tasks(registry) == {"a": "detect", "b": "classify"}


def test_one_file_named_twice_is_one_model(folder: Path) -> None:
    put(folder / "a.onnx", "detect")
    registry = Registry([ModelSource(folder), ModelSource(folder / "a.onnx")], "cpu", (1,))
    registry.refresh()
    assert tasks(registry) == {"a": "detect"}


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_every_demo_model_can_be_served(task: str) -> None:
    registry = Registry([ModelSource(demo_model(task))], "cpu", (1,))
    registry.refresh()
    assert tasks(registry) == {DEMO_MODELS[task]: task}
