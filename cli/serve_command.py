"""`yolean serve`: models over HTTP."""

from __future__ import annotations

import sys
from typing import Any

import click

from .._install_advice import install_command
from ..serving.settings import PREFIX, Settings, serve_options
from .shell import Refusal


@click.command(context_settings={"auto_envvar_prefix": PREFIX, "show_default": True})
@serve_options
def serve(**options: Any) -> None:
    """Serve models over HTTP: the HUB Inference API on your own machine.

    Without any option: the demo models, on http://127.0.0.1:8000, with a page to try them. Every option
    can be given as an environment variable too, --max-queue as YOLEAN_MAX_QUEUE and so on.
    """
    try:
        from ..serving.supervisor import serve as run
    except ModuleNotFoundError as exc:
        if (exc.name or "yolean").startswith("yolean"):
            raise
        raise Refusal(f"the server needs {exc.name}: {install_command('server')}") from exc
    sys.exit(run(Settings(**options)))
