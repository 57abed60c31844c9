from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yolean
from fake_engine import engine, grey
from yolean.engine.foreign_arguments import INSTEAD
from yolean.engine.pipeline import Engine

PAGE = (Path(__file__).parents[2] / "docs" / "ultralytics.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|([^|]+)\|", PAGE, re.MULTILINE))))


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ({"augment": False}, "no test-time augmentation"),
        ({"half": True}, "yolean.load"),
        ({"stream": True}, "model.stream"),
        ({"save_txt": True}, "result.save_txt"),
    ],
)
def test_arguments_of_ultralytics_are_refused_by_name(argument: dict[str, Any], instead: str) -> None:
    (name,) = argument
    for call in (engine(), engine().stream):
        with pytest.raises(yolean.InputError, match=f"^{name}= .*{instead}"):
            call(grey(1), **argument)


def test_other_arguments_are_mistakes_of_the_program() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'cnof'"):
        engine()(grey(1), cnof=0.3)


def test_whatever_is_refused_is_on_the_page_and_no_argument_of_ours() -> None:
    assert set(INSTEAD) <= NAMED
    assert set(INSTEAD).isdisjoint(inspect.signature(Engine.__call__).parameters)


@pytest.mark.export
def test_every_argument_of_ultralytics_has_its_line() -> None:
    """Read from the installed Ultralytics: a new release's new argument fails here until the page has it."""
    from ultralytics.cfg import DEFAULT_CFG_DICT
    from ultralytics.engine.model import Model

    training = set(re.findall(r"`(\w+)`", PAGE.partition("## Arguments of training")[2]))
    arguments = set(DEFAULT_CFG_DICT)
    for method in (Model.predict, Model.track, Model.val, Model.__call__):
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        parameters = inspect.signature(method).parameters.values()
        arguments |= {p.name for p in parameters if p.kind not in kinds}
    internal = {"self", "predictor", "validator"}  # objects of its own classes
    assert sorted(arguments - NAMED - training - internal) == []
    assert sorted(training - arguments) == []
