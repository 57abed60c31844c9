"""`python -m yolean` is the `yolean` command."""

from .cli import main

main()
