"""Settings of a server, read from the options of `yolean serve` or from the environment.

The options are declared once, as click options. Each has an environment variable, `--max-queue` is
YOLEAN_MAX_QUEUE and so on, so a server under plain uvicorn and the processes of `--workers` read the same
settings from the environment alone.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import click

from ..engine.errors import InputError

PREFIX = "YOLEAN"
Network = IPv4Network | IPv6Network


MOST_TILES = 10_000
"""Largest `--max-tiles`: that of the engine, which is too much to import for a list of options."""

MODEL_ID_PARTS = 3
"""Most parts of an id: owner, project and model."""


def is_model_id(text: str) -> bool:
    """Whether a model may be called so: what a path of an address can name, in up to three parts."""
    parts = text.split("/")
    return len(parts) <= MODEL_ID_PARTS and all(
        re.fullmatch(r"[\w.-]{1,100}", part) and part not in (".", "..") for part in parts
    )


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where models are: one .onnx file, or a folder that is watched for them.

    Attributes:
        path: the file or folder.
        id: what clients call the model of a file; None for its stem, and for folders.
    """

    path: Path
    id: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.id is None else f"{self.id}={self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a server. The options of `yolean serve` say what each means."""

    models: tuple[ModelSource, ...] = ()
    default_model: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    device: str = "auto"
    max_queue: int = 64
    timeout: float = 10.0
    max_body: int = 32 * 2**20
    max_pixels: int = 50_000_000
    max_videos: int = 4
    max_video_frames: int = 1800
    max_video_seconds: float = 120.0
    max_tiles: int = 0
    url_fetch: bool = False
    trusted_fetch: tuple[Network, ...] = ()
    api_keys: Path | None = None
    no_auth: bool = False
    cors: tuple[str, ...] = ()
    workers: int = 1
    head_timeout: float = 10.0
    max_head: int = 64 * 2**10
    min_rate: int = 2**10
    rate_window: float = 5.0
    keep_alive: float = 5.0
    max_uploads: int = 512 * 2**20
    max_client_uploads: int = 256 * 2**20
    trusted_proxy: tuple[Network, ...] = ()
    batch_window: float = 0.0
    drain: float = 30.0
    log_format: str = "text"

    @classmethod
    def from_environment(cls, leave_out: Collection[str] = ()) -> Settings:
        """The settings that the YOLEAN_ variables give.

        Args:
            leave_out: names of settings whose variables are not read.

        Raises:
            InputError: one of them is not valid.
        """
        command = click.Command("serve")
        serve_options(command)
        command.params = [param for param in command.params if param.name not in leave_out]
        try:
            with command.make_context("serve", [], auto_envvar_prefix=PREFIX) as context:
                return cls(**context.params)
        except click.UsageError as exc:
            raise InputError(exc.format_message()) from exc

    def to_environment(self) -> dict[str, str]:
        """The variables from which `from_environment` makes these settings again."""
        found: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value == ():
                continue
            if isinstance(value, tuple):
                value = "".join(f"{each}\n" for each in value)
            found[f"{PREFIX}_{field.name.upper()}"] = str(value)
        return found


class _Amount(click.ParamType[int]):
    """A whole number with an optional K, M or G: of bytes (1024) or of pixels (1000)."""

    name = "amount"

    def __init__(self, base: int) -> None:
        self.base = base

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,15}|\d{1,15}\.\d{1,3}(?=[KMG]))([KMG]?)", value.strip().upper())
        amount = float(match[1]) * self.base ** " KMG".index(match[2] or " ") if match else 0
        if not 1 <= amount < 2**62:
            self.fail(f"{value!r}: expected a whole number from 1, or one with K, M or G, such as 32M")
        return int(amount)


class _Models(click.ParamType[ModelSource]):
    name = "models"

    def split_envvar_value(self, rv: str) -> list[str]:
        """The parts of the variable: its lines, or one path that exists, or separated as PATH is."""
        if "\n" in rv:
            return rv.strip("\n").split("\n")
        is_one = os.path.exists(rv) or os.path.exists(rv.partition("=")[2])
        return [rv] if is_one else rv.split(os.pathsep)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ModelSource:
        if isinstance(value, ModelSource):
            return value
        model_id, found, path = value.partition("=")
        if not found or os.path.exists(os.path.expanduser(value)):
            model_id, path = None, value
        source = ModelSource(Path(os.path.expanduser(path)), model_id)
        if not path:
            self.fail(f"{value!r}: expected an .onnx file or a folder of them")
        if not source.path.exists():
            self.fail(f"{path!r} does not exist: expected an .onnx file or a folder of them")
        if source.path.is_dir() and model_id is not None:
            self.fail(f"{value!r}: {path} is a folder, whose models are called as their files are")
        if model_id is not None and not is_model_id(model_id):
            self.fail(
                f"{value!r}: an id is made of letters, digits, '.', '_' and '-', or of up to "
                f"{MODEL_ID_PARTS} such parts with '/' between them"
            )
        return source


class _Range(click.FloatRange):
    """A range of numbers that "nan", which is neither below nor above anything, does not belong to."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r}: expected a number from {self.min:g} to {self.max:g}")
        return number


class _Cidr(click.ParamType[Network]):
    name = "cidr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        try:
            return ipaddress.ip_network(value)
        except ValueError:
            self.fail(f"{value!r}: expected a network such as 10.1.0.0/16")


class _Origin(click.ParamType[str]):
    name = "origin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "*" and not re.fullmatch(r"https?://[^/\s]+", value):
            self.fail(f"{value!r}: expected an origin such as https://example.org, or *")
        return str(value)


class _KeyFile(click.ParamType[Path]):
    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        value = os.path.expanduser(value)
        if not os.path.isfile(value):
            # The value is not repeated: whoever put the keys themselves here must not find them in a log.
            self.fail(
                "there is no such file: it holds one key a line; keys themselves go into YOLEAN_API_KEY"
            )
        return Path(value)


_DEFAULT = Settings()
_OPTIONS = (
    click.option("--models", type=_Models(), multiple=True, metavar="FILE|FOLDER|ID=FILE",
                 help="What to serve: an .onnx file, called by its stem or ID, or a folder that is "
                      "watched for them; may be repeated. An ID may be OWNER/PROJECT/NAME.  "
                      "[default: the demo models]"),
    click.option("--default-model", metavar="ID",
                 help="The model of requests that name none, where several are served: POST /predict."),
    click.option("--host", default=_DEFAULT.host, metavar="ADDRESS", help="Address to listen on."),
    click.option("--port", type=click.IntRange(0, 65535), default=_DEFAULT.port, metavar="N",
                 help="Port to listen on; 0 takes a free one."),
    click.option("--device", default=_DEFAULT.device, metavar="NAME", help="As for `yolean predict`."),
    click.option("--max-queue", type=click.IntRange(1, 100_000), default=_DEFAULT.max_queue, metavar="N",
                 help="Requests that may wait; more are answered 503 at once."),
    click.option("--timeout", type=_Range(0.05, 3600), default=_DEFAULT.timeout,
                 metavar="SECONDS", help="A request that waits longer is answered 504 and not run."),
    click.option("--max-body", type=_Amount(1024), default="32M", metavar="BYTES",
                 help="Largest request body."),
    click.option("--max-pixels", type=_Amount(1000), default="50M", metavar="PIXELS",
                 help="Largest image, width times height."),
    click.option("--max-videos", type=click.IntRange(1, 1000), default=_DEFAULT.max_videos, metavar="N",
                 help="Videos at work; more are answered 503. Only Ultralytics Platform's API takes videos."),
    click.option("--max-video-frames", type=click.IntRange(1, 1_000_000), metavar="N",
                 default=_DEFAULT.max_video_frames, help="Most frames of a video that are answered."),
    click.option("--max-video-seconds", type=_Range(1, 86_400), default=_DEFAULT.max_video_seconds,
                 metavar="SECONDS", help="Longest video."),
    click.option("--max-tiles", type=click.IntRange(0, MOST_TILES), default=_DEFAULT.max_tiles, metavar="N",
                 help="Most slices of an image that a request asks for with tile, in Ultralytics Platform's "
                 "API; 0 allows none."),
    click.option("--url-fetch/--no-url-fetch", default=_DEFAULT.url_fetch,
                 help="Fetch images that requests name by url, from public addresses."),
    click.option("--trusted-fetch", type=_Cidr(), multiple=True, metavar="CIDR",
                 help="A private network from which urls are fetched as well; may be repeated."),
    click.option("--api-keys", type=_KeyFile(), metavar="FILE",
                 help="Keys, one a line, of which requests need one; or YOLEAN_API_KEY has them."),
    click.option("--no-auth", is_flag=True, default=_DEFAULT.no_auth,
                 help="Let everyone in who reaches the server, beyond this machine too."),
    click.option("--cors", type=_Origin(), multiple=True, metavar="ORIGIN",
                 help="Web origin whose pages may call the server; may be repeated."),
    click.option("--workers", type=click.IntRange(1, 256), default=_DEFAULT.workers, metavar="N",
                 help="Processes, which share the cores."),
    click.option("--head-timeout", type=_Range(0.05, 3600), default=_DEFAULT.head_timeout,
                 metavar="SECONDS",
                 help="A request whose head takes longer is answered 408, its connection closed."),
    click.option("--max-head", type=_Amount(1024), default="64K", metavar="BYTES",
                 help="Largest head of a request; a larger one is answered 431."),
    click.option("--min-rate", type=_Amount(1024), default="1K", metavar="BYTES",
                 help="Bytes a second of a body; a slower one is answered 408, its connection closed."),
    click.option("--rate-window", type=_Range(0.05, 3600), default=_DEFAULT.rate_window,
                 metavar="SECONDS", help="Time over which --min-rate is measured."),
    click.option("--keep-alive", type=_Range(0.05, 3600), default=_DEFAULT.keep_alive,
                 metavar="SECONDS", help="How long a connection may be idle between two requests."),
    click.option("--max-uploads", type=_Amount(1024), default="512M", metavar="BYTES",
                 help="Bodies that are on their way, all together; more are answered 503."),
    click.option("--max-client-uploads", type=_Amount(1024), default="256M", metavar="BYTES",
                 help="The same of one client address."),
    click.option("--trusted-proxy", type=_Cidr(), multiple=True, metavar="CIDR",
                 help="Addresses of proxies whose X-Forwarded-For names the client; may be repeated."),
    click.option("--batch-window", type=_Range(0, 1000), default=_DEFAULT.batch_window,
                 metavar="MS", help="On GPUs: how long a batch waits for more."),
    click.option("--drain", type=_Range(1, 3600), default=_DEFAULT.drain, metavar="SECONDS",
                 help="After SIGTERM: how long running and waiting requests may take."),
    click.option("--log-format", type=click.Choice(["text", "json"]), default=_DEFAULT.log_format,
                 help="One line for each request, on standard error."),
)  # fmt: skip


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `yolean serve` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
