"""What README.md, CONTRIBUTING.md and docs/ say is true: examples run, links lead somewhere, paths exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from yolean.cli.main import cli
from yolean.models import demo_images, demo_model

ROOT = Path(__file__).resolve().parents[1]
USER_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*USER_PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FIGURES = re.compile(r"<!-- figures: [\w-]+ -->.*?<!-- end of figures -->", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language on the pages for users, each once."""
    fence = re.compile(rf"```{language}\n(.*?)```", re.DOTALL)
    found = (block for page in USER_PAGES for block in fence.findall(page.read_text(encoding="utf-8")))
    return list(dict.fromkeys(found))


def lines(start: str = "") -> list[str]:
    """The shell lines that begin so, without comments, each once."""
    every = (line.partition(" #")[0].strip() for line in "\n".join(blocks("sh")).splitlines())
    return list(dict.fromkeys(line for line in every if line and line.startswith(start)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the examples name, in the current folder."""
    plain = Path(__file__).parent / "golden" / "plain"
    shutil.copy(plain / "shapes.onnx", tmp_path / "yolov8n.onnx")
    shutil.copy(plain / "shapes-seg.onnx", tmp_path / "yolov8n-seg.onnx")
    images = tmp_path / "images"
    images.mkdir()
    for path in demo_images():
        shutil.copy(path, images)
    shutil.copy(demo_images()[0], tmp_path / "bus.jpg")
    (tmp_path / "data.yaml").write_text("val: images\nnames: [disk, box, triangle, star]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", blocks("python"))
def test_python(block: str, folder: Path) -> None:
    if '"found"' in block:  # what `yolean batch` has written
        line = lines("yolean batch")[0]
        CliRunner().invoke(cli, shlex.split(line)[1:], catch_exceptions=False)
    exec(compile(block, "example", "exec"), {"__name__": "__main__"})


# They start processes or compare times: seconds each.
HEAVY = ("yolean val", "yolean optimize", "yolean bench", "yolean doctor")
RUN = (
    "yolean predict",
    "yolean track",
    "yolean info",
    "yolean doctor",
    "yolean optimize",
    "yolean val",
    "yolean bench",
    "yolean batch",
)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(line, marks=pytest.mark.slow if any(word in line for word in HEAVY) else ())
        for start in RUN
        for line in lines(start)
        if "--int8" not in line and "--coco" not in line and "--ray" not in line
    ],
)
def test_shell(command: str, folder: Path) -> None:
    words = shlex.split(command)[1:]
    if words[0] == "bench":
        words += ["--duration", "0.1"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output


@contextmanager
def serving(words: list[str]) -> Iterator[str]:
    """A server as a line of the pages starts it, on a free port; gives its address once it is ready."""
    command = [sys.executable, "-m", "yolean", "serve", *words, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield _address(server.stderr)
        finally:
            server.terminate()
            server.communicate()
        assert server.returncode == 0


def _address(log: IO[str]) -> str:
    found = re.search(r"http://[\d.:]+", log.readline())
    assert found is not None
    assert any("ready: " in line for line in log)
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("command", lines("yolean serve"))
def test_serve(command: str, folder: Path) -> None:
    shutil.copy(demo_model(), "images/in-a-folder.onnx")
    with serving(command.split()[2:]) as address, urlopen(f"{address}/readyz") as answer:
        assert answer.status == 200


@pytest.mark.slow
def test_curl(folder: Path) -> None:
    with serving(["--models", "yolov8n.onnx", "--max-tiles", "50"]) as address:
        for line in lines("curl "):
            words = shlex.split(line.replace("http://127.0.0.1:8000", address))
            done = subprocess.run(
                [*words, "--fail-with-body", "-sS"], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_every_shell_line_is_tried_or_installs() -> None:
    others = (
        "yolean serve",
        "yolean export",
        "curl ",
        "pip install ",
        "docker ",
        "kubectl ",
        "serve ",
        "YOLEAN_MODELS=yolov8n.onnx serve ",
    )  # `export` is tried where torch is, Ray's `serve` where Ray is
    assert [line for line in lines() if not line.startswith((*RUN, *others))] == []
    assert len(blocks("python")) >= 4
    assert len(lines("yolean ")) >= 15
    assert len(lines("curl ")) >= 4


def test_options_that_pages_name_exist() -> None:
    """Options of commands that are tried elsewhere, for minutes, are parsed: exports, and INT8."""
    for line in [*lines("yolean export"), *(line for line in lines("yolean optimize") if "--int8" in line)]:
        command, *words = shlex.split(line)[1:]
        cli.commands[command].make_context(command, words)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub and Python-Markdown both make them for plain words."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            of_member = any(anchor.startswith(f"{of}.") for of in anchors(target))
            assert anchor in anchors(target) or of_member, link
        if page.parent.name == "docs" and name:
            assert target.resolve().is_relative_to(page.parent), f"{link} is no part of the site"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    names = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "build")
    for path in re.findall(rf"`((?:{names})/[\w./-]*|\w+\.(?:py|toml|yml|yaml))`", page.read_text("utf-8")):
        beside = [ROOT / path, *ROOT.glob(f"*/{path}"), *ROOT.glob(f"*/*/{path}")]
        assert any(found.exists() for found in beside), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_measured_figures_come_from_records(page: Path) -> None:
    """Outside the parts that are written from records no page states a time, size, distance or share."""
    text = FIGURES.sub("", page.read_text(encoding="utf-8"))
    text = text.replace("8.8 px", "")  # of geometry alone: nothing was measured
    text = re.sub(r"^\| `--.*$", "", text, flags=re.MULTILINE)  # options and their defaults
    assert re.findall(r"\d[\d.,]* ?(?:ms|MB|px|%)(?!\w)|\d images a second|\b0\.\d+ of the time", text) == []
