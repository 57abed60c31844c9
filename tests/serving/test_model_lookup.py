"""Which model a name means: ids with and without slashes, names that end in an id, and none at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from yolean.engine.errors import InputError, ServerBusy
from yolean.serving.error_responses import NotFound
from yolean.serving.model_lookup import by_default, by_id, by_name
from yolean.serving.model_registry import LoadedModel, Registry


def registry(*ids: str, failed: tuple[str, ...] = (), is_ready: bool = True) -> Registry:
    """A registry with these models, which cannot run."""
    found = Registry([], "cpu", [1])
    found.models = {i: LoadedModel(i, Path(f"{i}.onnx"), "0", {}) for i in ids}
    found.failures = dict.fromkeys(failed, "broken")
    found.is_ready = is_ready
    return found


MODELS = registry("best", "acme/doors/best", "iowa", "acme/iowa")
NAMES = [
    ("best", "best"),
    ("acme/doors/best", "acme/doors/best"),  # the whole before the last part
    ("other/doors/best", "best"),
    ("x/y/iowa", "iowa"),
    ("acme/iowa", "acme/iowa"),
    ("x/acme/iowa", "acme/iowa"),  # the longest end
    ("https://hub.example/models/best", "best"),
    ("https://hub.example/acme/doors/best/?tab=1#x", "acme/doors/best"),
    ("best/", "best"),
]


def test_a_name_is_an_id_or_ends_in_one() -> None:
    for name, model_id in NAMES:
        assert by_name(MODELS, name).id == model_id
    for name in (
        "doors/windows",
        "acme/doors",
        "",
        "/",
        "best/x",
        "Best",
        "x" * 5000,
        "acme/doors/best.onnx",
    ):
        with pytest.raises(NotFound, match="no model is called") as refused:
            by_name(MODELS, name)
        assert len(str(refused.value)) < 300
    with pytest.raises(InputError, match="model is needed: one of best, acme/doors/best"):
        by_name(MODELS, None)


def test_an_id_is_the_whole_of_it() -> None:
    assert by_id(MODELS, "acme/doors/best").id == "acme/doors/best"
    for name in ("doors/best", "x/y/best", "best/"):
        with pytest.raises(NotFound):
            by_id(MODELS, name)


def test_the_only_model_or_the_default_needs_no_name() -> None:
    assert by_default(registry("acme/doors/best"), None).id == "acme/doors/best"
    assert by_default(MODELS, "iowa").id == "iowa"
    for models in (MODELS, registry("a", failed=("b",)), registry()):  # a failed one may come back
        with pytest.raises(NotFound, match="--default-model"):
            by_default(models, None)
    assert by_default(registry("a", failed=("a",)), None).id == "a"  # the one before its replacement failed
    with pytest.raises(NotFound, match="no model is called 'gone'"):
        by_default(MODELS, "gone")


def test_models_that_are_being_loaded_are_no_reason_to_give_up() -> None:
    loading = registry("first", is_ready=False)
    with pytest.raises(ServerBusy, match="being loaded"):
        by_id(loading, "second")
    with pytest.raises(ServerBusy, match="being loaded"):
        by_name(loading, "a/b/second")
    with pytest.raises(ServerBusy, match="being loaded"):
        by_default(loading, None)  # the first of several, perhaps
    assert by_id(loading, "first").id == "first"
