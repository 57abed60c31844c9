"""`yolean serve` without the packages that it needs; what it does with them is tested with the server."""

from __future__ import annotations

import subprocess
import sys

from invocation import ENV
from yolean._install_advice import install_command


def test_a_missing_package_is_one_line_with_the_command_that_brings_it() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = sys.modules['starlette'] = None; "
        "from yolean.cli.main import main; sys.argv[1:] = ['serve']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: the server needs ")
    assert line.endswith(install_command("server"))
