"""`yolean batch`: predict very many images into parts of a table, and resume what was interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._install_advice import install_command
from ..engine.errors import InputError
from ..models import model_file
from .model_options import LOADING, class_ids, load_with, options_of_load, options_of_predict, size

if TYPE_CHECKING:
    from ..batch.job import Job
    from ..batch.parts import FinishedPart
    from .batch_report import BatchReport

FORMATS = ("parquet", "jsonl", "csv", "coco", "yolo")


def _least_and_most(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    found = size(ctx, param, value)
    if isinstance(found, int):
        found = (found, found)
    if found is not None and not 1 <= found[0] <= found[1]:
        raise click.BadParameter(
            f"{value!r}: expected two numbers from 1, the smaller one first, such as 1,4"
        )
    return found


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
@click.option(
    "--ray",
    "cluster",
    metavar="local|auto|ADDRESS",
    help="Run on a Ray cluster: one started here, that of this machine, or another.",
)
@click.option(
    "--workers",
    callback=_least_and_most,
    metavar="MIN,MAX",
    help="Actors on the cluster, each with a model.  [default: 1 to the number of cores]",
)
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
    cluster: str | None,
    workers: tuple[int, int] | None,
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
    if workers and cluster is None:
        raise InputError("--workers is for --ray: here, each core runs an image of its own")
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

    if cluster is not None:
        from ..batch.cluster import check_cluster

        check_cluster(cluster)
    folder = OutputFolder(output)
    check_sources(sources)
    path = model_file(model)
    loading = {name: options[name] for name in LOADING if name != "threads"}
    engine = load_with(path, options)
    if engine.task == "depth":
        raise InputError("batch writes what was found, and depth is a map: use yolean predict")
    if engine.task in ("classify", "semantic") and format_ in FOR_OBJECTS:
        raise InputError(f"--format {format_} holds objects, not {engine.task}: name another format")
    options["classes"] = class_ids(options["classes"], engine.names)
    called_with = {name: value for name, value in options.items() if name != "batch"}
    job = Job(JobSettings(Provenance.of(engine, path, called_with), sources, column, format_), folder)
    folder.prepare()
    with folder.locked():
        finished = job.begin(resume)
        report = BatchReport(finished.values(), lambda: list_entries(sources, column), quiet=quiet)
        interrupted = False
        with report:
            try:
                if cluster is None:
                    parts = pending_parts(list_entries(sources, column), finished, part_size)
                    run_here(engine, parts, options, job, report.row)
                else:
                    _on_ray(cluster, path, loading, finished, part_size, options, job, workers, report)
            except KeyboardInterrupt:
                interrupted = True
        report.summary(folder.address)
    if interrupted:
        sys.exit(128 + signal.SIGINT)
    if report.failed:
        sys.exit(1)


def _on_ray(
    address: str,
    model: str,
    loading: Mapping[str, Any],
    finished: Mapping[int, FinishedPart],
    part_size: int,
    options: Mapping[str, Any],
    job: Job,
    workers: tuple[int, int] | None,
    report: BatchReport,
) -> None:
    """Run the rest of a job on a cluster."""
    from ..batch.cluster import ClusterModel, Workers, connected, run_on_ray

    on_cluster = ClusterModel(Path(model).read_bytes(), loading)
    with connected(address):
        pool = Workers(*workers) if workers else None
        for part in run_on_ray(on_cluster, finished, part_size, options, job, pool):
            report.part(part)
