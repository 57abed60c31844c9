"""`python -m yolean.benchmarks`: its commands, and what it says where a package is missing."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner
from yolean.benchmarks.__main__ import COMMANDS, harness


def test_every_command_has_help_and_is_listed() -> None:
    listed = CliRunner().invoke(harness, ["--help"])
    assert listed.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert f"{name} " in listed.output
        assert text in listed.output
        assert CliRunner().invoke(harness, [name, "--help"]).exit_code == 0
    assert CliRunner().invoke(harness, ["reliability"]).exit_code == 2


def test_a_missing_package_is_one_line_that_says_what_to_install() -> None:
    code = "import sys; sys.modules['msgspec'] = None; from yolean.benchmarks.__main__ import harness; "
    done = subprocess.run(
        [sys.executable, "-c", code + "harness(['threads'])"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: this needs msgspec: pip install ")
