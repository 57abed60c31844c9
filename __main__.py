"""`python -m yolean` is the `yolean` command."""

from .cli.main import main

main()
