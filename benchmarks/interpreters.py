"""Which of several Python interpreters has what a system under test needs.

Other systems need environments of their own: some exclude each other, and most bring what yolean does
not need.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_LIST = """
import json
from importlib import metadata
names = {}
for found in metadata.distributions():
    if found.metadata["Name"]:
        names.setdefault(found.metadata["Name"], found.version)
print(json.dumps(names))
"""
_SECONDS = 60


@dataclass(frozen=True)
class Interpreter:
    """One that has all of the distributions.

    Attributes:
        python: the command that starts it.
        versions: of the distributions, by name.
    """

    python: str
    versions: dict[str, str]


def find(distributions: Sequence[str], pythons: Sequence[str]) -> Interpreter | str:
    """The first interpreter, our own before `pythons`, that has all distributions; or in a line why not.

    Distributions are named as on the package index, `onnx-predictor-yolo`. Each interpreter is queried once
    in the life of this process.
    """
    lacking: list[list[str]] = []
    failed = []
    for python in (sys.executable, *pythons):
        has = installed_in(python)
        if isinstance(has, str):
            failed.append(has)
            continue
        versions = {name: has[_normal(name)] for name in distributions if _normal(name) in has}
        if len(versions) == len(distributions):
            return Interpreter(python, versions)
        lacking.append([name for name in distributions if name not in versions])
    missing = min(lacking, key=len, default=list(distributions))
    is_not = "is not" if len(missing) == 1 else "are not"
    why = f"{' and '.join(missing)} {is_not} installed: pip install {' '.join(missing)}"
    return "; ".join([f"{why}, here or in an environment named with --python", *failed])


@cache
def installed_in(python: str) -> dict[str, str] | str:
    """Versions of the distributions that an interpreter has, by normalised name; or why they are unknown."""
    try:
        # Not from the current folder: it is no part of the environment.
        env = {**os.environ, "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [python, "-c", _LIST], capture_output=True, text=True, env=env, timeout=_SECONDS, check=False
        )
    except OSError as exc:
        return f"{python} cannot be run: {exc.strerror}"
    except subprocess.TimeoutExpired:
        return f"{python} did not report what it has within {_SECONDS} s"
    try:
        found: dict[str, str] = json.loads(done.stdout)
    except ValueError:
        words = done.stderr.strip().splitlines() or ["it is no Python interpreter"]
        return f"{python} did not report what it has: {words[-1]}"
    return {_normal(name): version for name, version in found.items()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
