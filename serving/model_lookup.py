"""Which model a request means."""

from __future__ import annotations

import re

from ..engine.errors import InputError, ServerBusy
from .error_responses import NotFound
from .model_registry import LoadedModel, Registry

_SHOWN = 20


def by_id(registry: Registry, model_id: str) -> LoadedModel:
    """The model of an id.

    Raises:
        NotFound: no model has it.
        ServerBusy: no model has it yet, as they are being loaded.
    """
    return _checked(registry, registry.models.get(model_id), model_id)


def by_name(registry: Registry, name: str | None) -> LoadedModel:
    """The model of a name: an id, or `owner/project/model` or an address whose end is the id.

    Raises:
        InputError: there is no name.
        NotFound, ServerBusy: as for an id.
    """
    if name is None:
        raise InputError(f"model is needed: one of {', '.join(registry.models)}")
    return _checked(registry, registry.find(without_query(name)), name)


def by_default(registry: Registry, default: str | None) -> LoadedModel:
    """The model of requests that name none: the default, or the only one.

    Raises:
        NotFound: there is no default, and there are several models or none.
        ServerBusy: the models are being loaded.
    """
    if default is not None:
        return by_id(registry, default)
    if not registry.is_ready:
        raise ServerBusy("the models are being loaded, send it again", 1)
    ids = list(dict.fromkeys([*registry.models, *registry.failures]))
    if len(ids) == 1:
        return by_id(registry, ids[0])
    raise NotFound(
        f"this path is for a server of one model, and there are {_known(registry)}: send it to "
        "POST /api/models/MODEL_ID/predict, or start the server with --default-model ID"
    )


def without_query(name: str) -> str:
    """An address without its query, fragment and slashes at the end; other names stay as they are."""
    return re.split(r"[?#]", name)[0].rstrip("/")


def _checked(registry: Registry, model: LoadedModel | None, name: str) -> LoadedModel:
    if model is not None:
        return model
    if not registry.is_ready:
        raise ServerBusy("the models are being loaded, send it again", 1)
    raise NotFound(f"no model is called {name[:100]!r}; there are {_known(registry)}")


def _known(registry: Registry) -> str:
    return ", ".join(list(registry.models)[:_SHOWN]) or "none at all"
