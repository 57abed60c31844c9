"""`python -m yolean.benchmarks`: the measurements that take more than yolean alone."""

from __future__ import annotations

import importlib
from typing import Any

import click

from .._install_advice import install_command

COMMANDS = {
    "peers": ("scenarios.peers", "yolean and other ways to run the same models."),
    "serve": ("scenarios.serve", "The server and others under load."),
    "parity": ("scenarios.parity", "Agreement with Ultralytics' answers."),
    "micro": ("scenarios.micro", "NMS, masks and letterbox alone: how their cost grows."),
    "threads": ("scenarios.threads", "How runs should share the cores of a CPU."),
    "scale": ("scenarios.scale", "Many replicas: measured here, and simulated from that."),
    "readme": ("pages", "Write the figures of README.md and docs/ from the recorded results."),
}


class _Harness(click.Group):
    """Each command is a module, which is imported when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        try:
            command: click.Command = importlib.import_module(f"{__package__}.{module}").main
        except ModuleNotFoundError as exc:
            if (exc.name or "yolean").startswith("yolean"):
                raise
            raise click.ClickException(f"this needs {exc.name}: {install_command('bench')}") from exc
        return command

    def format_commands(self, ctx: click.Context, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Harness, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def harness() -> None:
    """Measurements that a user can make again. `yolean bench` measures your own models."""


if __name__ == "__main__":
    harness(prog_name="python -m yolean.benchmarks")
