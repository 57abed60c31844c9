"""The `yolean` command: a module a subcommand."""
