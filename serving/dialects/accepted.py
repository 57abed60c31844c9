"""All dialects, the routes that accept each, and the choice of the one that a request is written in.

A new dialect is a module beside this one and an entry here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...engine.errors import InputError
from ..model_registry import LoadedModel
from .dialect import Arguments, Dialect, shown
from .hub_v1 import HUB_V1
from .hub_v2 import HUB_V2
from .platform import PLATFORM

PREDICT = "/v1/predict/{model_id}"
PREDICT_BY_FIELD = "/"
PLATFORM_MODEL = "/api/models/{owner}/{project}/{model}/predict"
PLATFORM_MODEL_ID = "/api/models/{model_id}/predict"
PLATFORM_DEPLOYMENT = "/api/deployments/{owner}/{deployment}/predict"
PLATFORM_ENDPOINT = "/predict"

ROUTES: Mapping[str, tuple[Dialect, ...]] = {
    PREDICT: (HUB_V1, HUB_V2),
    PREDICT_BY_FIELD: (HUB_V2,),
    PLATFORM_MODEL_ID: (PLATFORM,),
    PLATFORM_MODEL: (PLATFORM,),
    PLATFORM_DEPLOYMENT: (PLATFORM,),
    PLATFORM_ENDPOINT: (PLATFORM,),
}
"""The dialects that each route accepts; the first is taken where the fields do not tell."""

DIALECTS = tuple(dict.fromkeys(dialect for accepted in ROUTES.values() for dialect in accepted))


def read_arguments(
    fields: Mapping[str, Any], files: Mapping[str, bytes], accepted: Sequence[Dialect] = DIALECTS
) -> Arguments:
    """Validate the fields of a request.

    Args:
        fields: names and values as they came: text from forms and queries, typed from JSON.
        files: uploaded files by field.
        accepted: the dialects of the route.

    Raises:
        InputError: a field is unknown, of another dialect, or out of range; the line names it, its value
            and what was expected.
    """
    dialect = _dialect([*fields, *files], accepted)
    fields = {name: value for name, value in fields.items() if value is not None}  # JSON's null: not given
    for name in files:
        if name != dialect.file:
            raise InputError(f"{name}: expected text, found a file; the image's field is {dialect.file!r}")
    if dialect.file in fields:
        raise InputError(
            f"{dialect.file}: expected an uploaded file, found {shown(fields[dialect.file])}; an address "
            f"goes into {dialect.wire_name('url')!r}"
        )
    return dialect.read(fields)


def check_task(dialect: Dialect, model: LoadedModel) -> None:
    """Check that a dialect has answers for the task of a model.

    Raises:
        InputError: it has none; the line names a route that has.
    """
    task = model.engine.task
    if task not in dialect.tasks:
        others = [f"{_route_of(other)} ({other.title})" for other in DIALECTS if task in other.tasks]
        raise InputError(
            f"the model {model.id!r} is for {task}, which {dialect.title} has no answer for: expected a "
            f"request to {' or '.join(others)}"
        )


def _dialect(names: Sequence[str], accepted: Sequence[Dialect]) -> Dialect:
    """The dialect that all these fields belong to.

    Raises:
        InputError: there is none, there is more than one, or the route does not accept it.
    """
    known = {name for dialect in DIALECTS for name in dialect.names}
    for name in names:
        if name not in known:
            expected = ", or ".join(", ".join(dialect.names) for dialect in accepted)
            raise InputError(f"unknown field {shown(name)}: expected {expected}")
    for dialect in (*accepted, *DIALECTS):
        if known.intersection(names) <= set(dialect.names):
            break
    else:
        lists = ", or ".join(f"{', '.join(dialect.names)} ({dialect.title})" for dialect in accepted)
        used = ", ".join(sorted({repr(name) for name in names} - {repr(name) for name in _shared()}))
        raise InputError(f"{used} do not belong together: expected some of {lists}")
    if dialect not in accepted:
        other = ", ".join(accepted[0].names)
        raise InputError(
            f"{', '.join(sorted(set(names)))}: fields of {dialect.title}, which go to "
            f"{_route_of(dialect)}; expected {other}"
        )
    return dialect


def _shared() -> set[str]:
    """The names that every dialect has."""
    return set.intersection(*(set(dialect.names) for dialect in DIALECTS))


def _route_of(dialect: Dialect) -> str:
    """A route that accepts a dialect, as a client writes it."""
    path = next(path for path, accepted in ROUTES.items() if dialect in accepted)
    return path.replace("{model_id}", "MODEL_ID")


def is_platform_path(path: str) -> bool:
    """Whether a path, without that of a mount, is one of Ultralytics Platform's, served or not."""
    return path.startswith("/api/") or path == PLATFORM_ENDPOINT
