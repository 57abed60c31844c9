"""The pip command that brings what an extra of yolean lists, for the way in which this copy was installed.

yolean is on no package index under its name, so no message may say `pip install yolean[...]`: whoever
registers that name one day would decide what it installs.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

_HERE = Path(__file__).resolve().parent


def install_command(extra: str, root: Path = _HERE) -> str:
    """The command that installs the packages of `extra`.

    It names the clone that this copy is run in or was installed from, as long as that exists, the
    repository that pip cloned, or otherwise the packages themselves.

    Args:
        extra: a key of `[project.optional-dependencies]` in pyproject.toml.
        root: the folder of the package.
    """
    origin = _origin()
    url = str(origin.get("url", ""))
    if _is_clone(root):
        return f'pip install -e "{_named(root)}[{extra}]"'
    folder = Path(url2pathname(urlsplit(url).path))
    if url.startswith("file:") and _is_clone(folder):
        return f'pip install "{_named(folder)}[{extra}]"'
    if vcs := origin.get("vcs_info"):
        return f'pip install "yolean[{extra}] @ {vcs["vcs"]}+{url}@{vcs["commit_id"]}"'
    return " ".join(["pip install", *(f'"{requirement}"' for requirement in _requirements(extra))])


def _origin() -> dict[str, Any]:
    """Where pip installed yolean from (PEP 610); empty where it was not pip, or from an index."""
    for found in metadata.distributions(name="yolean"):
        # In a clone, what building left there (yolean.egg-info) may be found first: nothing installed it.
        if found.read_text("INSTALLER"):
            return dict(json.loads(found.read_text("direct_url.json") or "{}"))
    return {}


def _is_clone(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / "_install_advice.py").is_file()


def _named(folder: Path) -> str:
    return "." if folder == Path.cwd() else str(folder)


def _requirements(extra: str) -> list[str]:
    """The packages of an extra as they are written in pyproject.toml, without the marker of the extra."""
    of_extra = rf"""(; | and )extra == ['"]{re.escape(extra)}['"]"""
    return [
        re.sub(of_extra, "", requirement).replace('"', "'")
        for requirement in metadata.requires("yolean") or ()
        if re.search(of_extra, requirement)
    ]
