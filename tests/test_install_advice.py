"""Advice on installing is right for the copy that gives it, and never names yolean on a package index."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from yolean._install_advice import install_command

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "cli", "deploy", "docs", "engine", "export", "models", "postprocess", "serving")
TEXT = {".py", ".md", ".html", ".toml", ".yml", ".yaml", ".txt", ".service"}
METADATA = """Metadata-Version: 2.4
Name: yolean
Version: 9
Provides-Extra: server
Provides-Extra: export
Requires-Dist: numpy>=1.26
Requires-Dist: uvicorn>=0.54; extra == "server"
Requires-Dist: uvloop>=0.21; platform_system != "Windows" and extra == "server"
Requires-Dist: onnx>=1.17; extra == "export"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("pyproject.toml", "_install_advice.py"):
        (folder / name).touch()
    return folder


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip seems to have installed yolean."""
    (tmp_path / "site" / "yolean-9.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "yolean-9.dist-info" / "METADATA").write_text(METADATA)
    (tmp_path / "site" / "yolean-9.dist-info" / "INSTALLER").write_text("pip\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def from_origin(site_packages: Path, **origin: object) -> None:
    (site_packages / "yolean-9.dist-info" / "direct_url.json").write_text(json.dumps(origin))


def test_a_clone_that_is_run_in_place_stays_in_place(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_command("export", clone) == f'pip install -e "{clone}[export]"'
    monkeypatch.chdir(clone)
    assert install_command("export", clone) == 'pip install -e ".[export]"'


def test_a_copy_installed_from_a_clone_names_the_clone(
    clone: Path, site_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_origin(site_packages, url=clone.as_uri(), dir_info={})
    assert install_command("server", site_packages) == f'pip install "{clone}[server]"'
    monkeypatch.chdir(clone)
    assert install_command("server", site_packages) == 'pip install ".[server]"'
    built = clone / "yolean.egg-info"  # left by building, and found first by `python -c` in the clone
    built.mkdir()
    (built / "PKG-INFO").write_text(METADATA)
    monkeypatch.syspath_prepend(clone)
    assert install_command("server", site_packages) == 'pip install ".[server]"'


def test_a_copy_installed_from_a_repository_names_its_commit(site_packages: Path) -> None:
    from_origin(site_packages, url="https://example.org/y", vcs_info={"vcs": "git", "commit_id": "c0ffee"})
    expected = 'pip install "yolean[export] @ git+https://example.org/y@c0ffee"'
    assert install_command("export", site_packages) == expected


@pytest.mark.parametrize("wheel", [True, False])
def test_a_copy_without_a_clone_names_the_packages(site_packages: Path, wheel: bool) -> None:
    if wheel:
        from_origin(site_packages, url="file:///gone/yolean-9.whl", archive_info={})
    assert install_command("export", site_packages) == 'pip install "onnx>=1.17"'
    expected = """pip install "uvicorn>=0.54" "uvloop>=0.21; platform_system != 'Windows'\""""
    assert install_command("server", site_packages) == expected


def test_no_text_advises_to_install_yolean_from_an_index() -> None:
    """Extras stand in `.[extra]`, which pip reads in a clone, or come from `install_command`."""
    patterns = ("*", *(f"{folder}/**/*" for folder in FOLDERS))
    texts = [file for pattern in patterns for file in ROOT.glob(pattern) if file.suffix in TEXT]
    assert {ROOT / "README.md", ROOT / "cli" / "main.py", ROOT / "docs" / "index.md"} <= set(texts)
    exempt = {ROOT / "_install_advice.py", Path(__file__)}
    advice = re.compile(r"yolean\[\{?[a-z]|pip install (-\w+ )*['\"]?yolean\b")
    against = [
        f"{file.relative_to(ROOT)}: {found[0]}"
        for file in texts
        if file not in exempt and (found := advice.search(file.read_text(encoding="utf-8")))
    ]
    assert not against
