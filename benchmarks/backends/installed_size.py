"""How much space distributions take, with all that they require."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

_ALTERNATIVES = {"opencv-python-headless": "opencv-python"}


def installed_mb(names: Iterable[str]) -> float:
    """Megabytes of the files of these distributions and of what they require, each counted once.

    Requirements of extras are not followed, nor those that are not installed here.
    """
    waiting, seen, total = list(names), set[str](), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for another system, or an alternative
            waiting += [_ALTERNATIVES[name]] if name in _ALTERNATIVES else []
            continue
        total += sum(_size(Path(str(found.locate_file(file)))) for file in found.files or ())
        wanted = (text for text in found.requires or () if not re.search(r"\bextra\s*==", text))
        waiting += [re.split(r"[\s;<>=!~\[(]", text, maxsplit=1)[0] for text in wanted]
    return total / 1e6


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
