"""What holds for every command: how errors are shown, and with which exit status they end."""

from __future__ import annotations

import signal
from typing import Any

import click

from ..engine.errors import YoleanError


class Refusal(click.ClickException):
    """An error in one line, with the exit status of a wrong call."""

    exit_code = 2


class Shell(click.Group):
    """A group of commands that shows our errors as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except YoleanError as exc:
            from .console import printable

            raise Refusal(printable(str(exc))) from exc
        except ImportError as exc:
            if (exc.name or "").startswith("yolean"):
                raise  # a bug of ours, not of the installation
            reason = " ".join(str(exc).split())[-300:]
            raise Refusal(
                f"something that yolean needs does not start: {reason}; run `yolean doctor`"
            ) from exc
        except BrokenPipeError:
            raise  # click ends quietly: `yolean predict ... | head`
        except OSError as exc:
            raise Refusal(f"cannot write the output: {exc.strerror or exc}") from exc
        except KeyboardInterrupt:
            return ctx.exit(128 + signal.SIGINT)
