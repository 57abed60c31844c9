"""`yolean batch`: predict very many images into parts of a table, and resume what was interrupted."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from .._install_advice import install_command
from ..engine.errors import InputError
from ..models import model_file
from .model_options import class_ids, load_with, options_of_load, options_of_predict

FORMATS = ("parquet", "jsonl", "csv", "coco", "yolo")


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--model", "-m", required=True, metavar="FILE", help="An .onnx file, or a demo model.")
@click.option(
    "--output", "-o", required=True, metavar="DIR", help="Folder of the output, here or in a store."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="parquet",
    show_default=True,
    help="Of the output.",
)
@click.option("--resume", is_flag=True, help="Continue the job that is in the folder, if one is.")
@click.option(
    "--part-size",
    type=click.IntRange(1, 100_000),
    default=500,
    show_default=True,
    metavar="N",
    help="Images in each file of the output: what a killed job loses at most.",
)
@click.option("--column", metavar="NAME", help="Of Parquet files: bytes of images, or their paths.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@options_of_predict
@options_of_load
def batch(
    sources: tuple[str, ...],
    model: str,
    output: str,
    format_: str,
    resume: bool,
    part_size: int,
    column: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Predict very many images, into files of a folder.

    A SOURCE is an image, a folder (with all below it), a glob pattern, a .txt file with one path or address a
    line, a .tar shard or a .parquet file; here, or in a store: s3://, gs://, az://, https://.

    Every image is in the output exactly once; one that cannot be read is a row with its error. After Ctrl-C
    or a crash, --resume does what is left. The exit status is 0 when all is well, 1 when some images could
    not be read, 2 when nothing could be done, 130 after Ctrl-C.
    """  # fmt: skip
    try:
        import filelock  # noqa: F401
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as exc:
        raise InputError(f"this needs {exc.name}: {install_command('batch')}") from exc
    from ..batch.encoders import FOR_OBJECTS
    from ..batch.job import Job, JobSettings
    from ..batch.listing import check_sources, list_entries
    from ..batch.parts import pending_parts
    from ..batch.rows import Provenance
    from ..batch.running import run_here
    from ..batch.stores import OutputFolder
    from .batch_report import BatchReport

    folder = OutputFolder(output)
    check_sources(sources)
    path = model_file(model)
    engine = load_with(path, options)
    if engine.task == "classify" and format_ in FOR_OBJECTS:
        raise InputError(f"--format {format_} holds objects, and this model classifies: name another format")
    options["classes"] = class_ids(options["classes"], engine.names)
    called_with = {name: value for name, value in options.items() if name != "batch"}
    job = Job(JobSettings(Provenance.of(engine, path, called_with), sources, column, format_), folder)
    folder.prepare()
    with folder.locked():
        finished = job.begin(resume)
        report = BatchReport(finished.values(), lambda: list_entries(sources, column), quiet=quiet)
        parts = pending_parts(list_entries(sources, column), finished, part_size)
        with report:
            try:
                run_here(engine, parts, options, job, report.row)
                interrupted = False
            except KeyboardInterrupt:
                interrupted = True
        report.summary(folder.address)
    if interrupted:
        sys.exit(128 + signal.SIGINT)
    if report.failed:
        sys.exit(1)
