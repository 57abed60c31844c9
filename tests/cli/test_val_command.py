"""`yolean val`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from invocation import SHAPES, error_of, run


def write_labelled(folder: Path) -> Path:
    """One image that can be read, one that cannot, and a YAML."""
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    cv2.imwrite(str(folder / "images" / "a.png"), np.full((64, 64, 3), 90, np.uint8))
    (folder / "images" / "b.jpg").write_bytes(b"no image")
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    data = folder / "data.yaml"
    data.write_text("val: images\nnames: [disk, box, triangle, star]\n", encoding="utf-8")
    return data


def test_a_table_and_what_was_left_out(here: Path) -> None:
    data = write_labelled(here)
    done = run("val", "--data", data, "--model", SHAPES, "--json", "report.json")
    assert done.exit_code == 1
    assert done.stdout.startswith("class  images  instances")
    assert "1 image without a label file: nothing is expected in them" in done.stdout
    assert "1 image was left out:" in done.stdout
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert (report["images"], report["instances"]) == (1, 1)


def test_json_alone_on_standard_output(here: Path) -> None:
    data = write_labelled(here)
    (here / "images" / "b.jpg").unlink()
    done = run("val", "--data", data, "--model", SHAPES, "--json", "-")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["task"] == "detect"


def test_refused(here: Path) -> None:
    assert "--data is needed" in error_of(run("val", "--model", SHAPES))
    assert "--model is needed" in error_of(run("val", "--data", "a.yaml"))
    assert "found nothing there" in error_of(run("val", "--data", "a.yaml", "--model", SHAPES))
