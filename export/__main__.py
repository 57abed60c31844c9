"""`python -m yolean.export` is the command `yolean export`."""

import sys

from ..cli.main import main

sys.argv.insert(1, "export")
main()
