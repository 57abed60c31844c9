"""The YOLEAN_ variables that travel from the process that deploys to the replicas."""

from __future__ import annotations

import os

from ..engine.errors import InputError
from ..serving.settings import PREFIX, ModelSource, Settings
from .stored_models import MODELS, store_address

KEYS = f"{PREFIX}_API_KEYS"


def variables() -> dict[str, str]:
    """The YOLEAN_ variables of this process; paths in them are absolute, for the folders of other processes.

    Raises:
        InputError: a relative path does not exist. An absolute one may exist on the nodes alone.
    """
    found = {name: value for name, value in os.environ.items() if name.startswith(f"{PREFIX}_")}
    models, keys = found.get(MODELS, ""), os.path.expanduser(found.get(KEYS, ""))
    if models and not any(store_address(entry) for entry in models.split("\n")):
        try:
            sources = Settings.from_environment(leave_out=("api_keys",)).models
        except InputError:
            if not all(_is_absolute(entry) for entry in models.replace(os.pathsep, "\n").split("\n")):
                raise
        else:
            absolute = [ModelSource(source.path.absolute(), source.id) for source in sources]
            found[MODELS] = "".join(f"{source}\n" for source in absolute)
    if keys and not os.path.isabs(keys):
        Settings.from_environment(leave_out=("models",))
        found[KEYS] = os.path.abspath(keys)
    return found


def _is_absolute(entry: str) -> bool:
    return not entry or os.path.isabs(os.path.expanduser(entry.partition("=")[2] or entry))
