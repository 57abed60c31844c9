"""What holds for the tree as a whole: which folders import which, names of modules, the list of packages."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    *(
        "batch",
        "postprocess",
        "models",
        "tracking",
        "engine",
        "validation",
        "serving",
        "export",
        "measurement",
    ),
    *("replicas", "benchmarks", "cli"),
)
TOP = ("__init__", "__main__", "_install_advice", "_version", "server", "ray_serve")

MAY_IMPORT = {
    "_version": set[str](),
    "_install_advice": set[str](),
    "postprocess": set[str](),
    "models": {"engine"},  # its errors
    "tracking": {"postprocess"},
    "engine": {"_install_advice", "_version", "postprocess", "tracking"},
    "batch": {"_install_advice", "_version", "engine"},
    "validation": {"_install_advice", "_version", "engine", "postprocess"},
    "export": {"_install_advice", "_version", "engine", "postprocess", "models", "validation", "__init__"},
    "serving": {"_install_advice", "_version", "engine", "postprocess", "models"},
    "server": {"_version", "engine", "serving"},
    "replicas": {"engine", "batch", "serving", "server"},
    "ray_serve": {"_install_advice", "engine", "serving", "replicas"},
    "measurement": {"_version", "engine"},
    "benchmarks": {
        "_install_advice",
        "_version",
        "engine",
        "postprocess",
        "models",
        "export",
        "serving",
        "measurement",
        "__init__",
    },
    "cli": {
        "_install_advice",
        "_version",
        "batch",
        "engine",
        "postprocess",
        "models",
        "validation",
        "export",
        "serving",
        "measurement",
        "__init__",
    },
    "__init__": {"_version", "engine", "validation"},
    "__main__": {"cli"},
}
"""Arrows point one way: whoever is imported never imports back."""


def sources() -> Iterator[Path]:
    """Every module of the package."""
    for name in TOP:
        yield ROOT / f"{name}.py"
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def name_of(file: Path) -> tuple[str, ...]:
    """Parts of the dotted name below `yolean`."""
    return file.relative_to(ROOT).with_suffix("").parts


@cache
def imports_of(file: Path) -> list[tuple[str, ...]]:
    """Dotted names below `yolean` that a module imports, wherever in it the import stands."""
    package, found = name_of(file)[:-1], []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)] + tuple((node.module or "").split("."))
            base = tuple(part for part in base if part)
            for alias in node.names:
                whole = (*base, alias.name)
                is_module = (ROOT.joinpath(*whole)).is_dir() or ROOT.joinpath(*whole).with_suffix(
                    ".py"
                ).exists()
                found.append(whole if is_module else base or ("__init__",))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "yolean":
            found.append(tuple((node.module or "").split(".")[1:]) or ("__init__",))
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room: str) -> None:
    against = [
        f"{file.relative_to(ROOT)} imports {'.'.join(imported)}"
        for file in sources()
        if name_of(file)[0] == room
        for imported in imports_of(file)
        if imported[0] != room and imported[0] not in MAY_IMPORT[room]
    ]
    assert not against


def test_no_module_imports_itself_by_way_of_others() -> None:
    """No cycle among modules, imports within functions and for type checkers included."""
    modules = {name_of(file): file for file in sources()}

    def target(name: tuple[str, ...]) -> tuple[str, ...] | None:
        return name if name in modules else (*name, "__init__") if (*name, "__init__") in modules else None

    arrows = {
        name: {found for imported in imports_of(file) if (found := target(imported)) and found != name}
        for name, file in modules.items()
    }
    while leaves := {name for name, targets in arrows.items() if not targets}:
        arrows = {name: targets - leaves for name, targets in arrows.items() if name not in leaves}
    assert not arrows


def test_no_two_modules_share_a_name() -> None:
    names = Counter(name_of(file)[-1] for file in sources())
    assert [name for name, count in names.items() if count > 1] == ["__init__", "__main__"]


def test_every_folder_with_modules_is_a_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "packages"
    ]
    folders = {name_of(file)[:-1] for file in sources()}
    assert sorted(".".join(("yolean", *folder)) for folder in folders) == sorted(declared)
