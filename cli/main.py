"""The `yolean` command: a group of the commands beside this module.

numpy, OpenCV, ONNX Runtime and rich are imported by the commands when they run: `--help` answers at once,
and `doctor` answers where one of them is broken.
"""

from __future__ import annotations

import os
import signal
import sys

import click

from .._version import __version__
from .batch_command import batch
from .bench_command import bench
from .doctor_command import doctor
from .export_command import export
from .info_command import info
from .optimize_command import optimize
from .predict_command import predict
from .serve_command import serve
from .shell import Shell
from .track_command import track
from .val_command import val


@click.group(cls=Shell, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="yolean %(version)s")
def cli() -> None:
    """Ultralytics YOLO models on ONNX Runtime, without torch.

    Start with `yolean predict`: it needs no model and no image.
    """


for command in (predict, track, batch, info, doctor, serve, val, export, optimize, bench):
    cli.add_command(command)


def main() -> None:
    """Run the command line; the entry point of `yolean`."""
    # FFmpeg's own lines about a broken video, beside ours. Read when OpenCV is imported.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # `kill` and `docker stop` end a run as Ctrl-C does: files are finished on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # A class name with letters that the console lacks is no reason to stop.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    cli()
