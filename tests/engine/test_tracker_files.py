"""Tracker files, as Ultralytics writes them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from yolean.engine.errors import InputError
from yolean.engine.tracker_files import tracker_config
from yolean.tracking.association import solver
from yolean.tracking.tracker_config import BOTSORT, BYTETRACK

BYTE = """# tracker defaults
tracker_type: bytetrack # (str) which
track_high_thresh: 0.25
track_low_thresh: 0.1
new_track_thresh: 0.25
track_buffer: 30
match_thresh: 0.8
fuse_score: True
"""
BOT = BYTE.replace("bytetrack", "botsort") + (
    "gmc_method: sparseOptFlow\nproximity_thresh: 0.5\nappearance_thresh: 0.8\n"
    "with_reid: False\nmodel: auto\n"
)


def test_files_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracker_config("bytetrack") == tracker_config("bytetrack.yaml") == BYTETRACK
    assert tracker_config("botsort") == tracker_config("botsort.yaml") == BOTSORT
    for text, expected in ((BYTE, BYTETRACK), (BOT, BOTSORT), (BOT.replace("model: auto\n", ""), BOTSORT)):
        Path("own.yaml").write_text(text)
        assert tracker_config("own.yaml") == tracker_config(Path("own.yaml")) == expected
    Path("bytetrack.yaml").write_text(BYTE.replace("30", "60"))  # a file of that name comes first
    assert tracker_config("bytetrack.yaml") == replace(BYTETRACK, track_buffer=60)
    assert tracker_config("bytetrack") == BYTETRACK
    Path("own.yaml").write_text(BOT.replace("sparseOptFlow", "None"))
    assert tracker_config("own.yaml").gmc_method == "none"
    assert tracker_config(replace(BOTSORT, track_buffer=1)).track_buffer == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BYTE + "gmc_method: none\n", "own.yaml: bytetrack has no key gmc_method; it has fuse_score, match"),
        (BYTE.replace("match_thresh: 0.8\n", ""), "own.yaml: expected a value of match_thresh, found none"),
        (BYTE.replace("bytetrack", "ocsort"), "tracker_type: expected bytetrack or botsort, found 'ocsort'"),
        (
            BYTE.replace("0.25", "high"),
            "own.yaml: track_high_thresh: expected a number from 0 to 1, found 'high'",
        ),
        (BOT.replace("False", "True"), "own.yaml: with_reid: expected False, found True: ReID is not there"),
        (BOT.replace("sparseOptFlow", "orb"), "gmc_method: expected sparseOptFlow or none, found 'orb'"),
        ("bytetrack", "own.yaml: expected lines such as `tracker_type: bytetrack`, found str"),
        ("a: [", "own.yaml: this is no YAML: "),
        ("\0", "own.yaml: this is no YAML: "),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        tracker_config("own.yaml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_tracker(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"tracker='deepsort': expected bytetrack or botsort, or a \.yaml file"
    ):
        tracker_config("deepsort")
    with pytest.raises(InputError, match=r"missing\.yaml: the tracker file cannot be read \(No such file"):
        tracker_config(tmp_path / "missing.yaml")


def test_missing_packages_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("lap", "scipy", "scipy.optimize", "yaml"):
        monkeypatch.setitem(sys.modules, package, None)
    solver.cache_clear()
    with pytest.raises(InputError, match=r"tracking needs lap, or scipy: pip install .*track"):
        tracker_config("bytetrack")
    monkeypatch.delitem(sys.modules, "lap")
    assert tracker_config("bytetrack") == BYTETRACK
    (tmp_path / "own.yaml").write_text(BYTE)
    with pytest.raises(InputError, match=r"own\.yaml needs PyYAML: pip install .*track"):
        tracker_config(tmp_path / "own.yaml")
