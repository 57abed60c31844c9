"""What every wire format of the prediction API consists of, and what they share.

A dialect is one module: a struct of the request's fields, structs of the answer, a function that renders
results as that answer, and a `Dialect` that holds them. `accepted.py` says which routes take it. The structs
validate requests, encode answers and make `/openapi.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...engine.errors import InputError
from ...engine.results.results import Results
from ...postprocess.layout import TASKS, Task
from ..encoded_images import is_address
from ..model_registry import LoadedModel

# ---- types of fields -------------------------------------------------------------------------------------

MAX_ADDRESS = 2000
"""Characters of an address."""

Url = Annotated[
    str, Meta(min_length=1, max_length=MAX_ADDRESS, description="Address of the image, http or https.")
]
SideLength = Annotated[
    int,
    Meta(
        ge=32,
        le=1280,
        description="Size to run at, in pixels; default: the model's own. Rounded up to the stride. A "
        "static export runs at its own size only.",
    ),
]
Confidence = Annotated[float, Meta(ge=0.01, le=1.0, description="Objects need a score above this.")]
Iou = Annotated[
    float, Meta(ge=0.0, le=0.95, description="Of two boxes that overlap by more than this, the better stays.")
]
ModelId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=500,
        description="For `POST /`: the model's id, or an address whose last part is the id.",
    ),
]


class RequestFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The fields of a request, whose attributes have the same names in all dialects.

    A dialect redefines those whose wire name or default differs, with `msgspec.field(name=..., default=...)`.
    """

    url: Url | UnsetType = UNSET
    size: SideLength | UnsetType = UNSET
    conf: Confidence = 0.25
    iou: Iou = 0.45


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a request asks for, whichever dialect it is written in.

    Attributes:
        dialect: of the request, and so of its answer.
        url: address of the image; None if the image was sent.
        size: height and width to run at, pixels; None for the model's own.
        conf: lowest score, 0.01 to 1.
        iou: threshold of non-maximum suppression, 0 to 0.95.
        model: id of the model, where a field names it; else None.
        encoded: the image itself as text, in base64 or as a data: URI; None if it came in another way.
        normalize: whether coordinates are from 0 to 1, where the dialect leaves the choice.
        decimals: to which numbers are rounded, where the dialect leaves the choice.
        vid_stride: of a video, every n-th frame.
        bits: of a depth map.
        tile: side of the slices that the image is cut into, pixels; None for no slices.
        overlap: of neighbouring slices, as a share of the tile.
        read_at: when they were read, on the clock of `perf_counter`, seconds.
    """

    dialect: Dialect
    url: str | None
    size: int | None
    conf: float
    iou: float
    model: str | None
    encoded: str | None = None
    normalize: bool = False
    decimals: int = 5
    vid_stride: int = 1
    bits: Literal[8, 12, 16] = 8
    tile: int | None = None
    overlap: float = 0.2
    read_at: float = field(default_factory=perf_counter, compare=False)


_OPTIONAL = ("normalize", "decimals", "vid_stride", "bits", "overlap")
"""Arguments that a dialect may lack: their defaults say what happens then."""


@dataclass(frozen=True, slots=True)
class VideoAnswer:
    """How a dialect answers videos, whose frames are rendered one by one.

    Attributes:
        frame: makes the item of a frame.
        join: makes the body of the answer of the encoded items.
    """

    frame: Callable[[Results, Arguments], msgspec.Struct]
    join: Callable[[list[bytes], Arguments, LoadedModel], bytes]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire format of prediction requests and answers.

    Attributes:
        title: its name in messages and in the documentation.
        fields: the fields of a request, but for the file; its name is that of the dialect in
            `/openapi.json`.
        file: the field with the uploaded image.
        answer: the struct that `render` makes.
        render: makes the answer of a request.
        tasks: that an answer can be rendered for.
        takes_encoded: whether the field with the address takes the image itself as text, too.
        video: how videos are answered; None where they are not taken.
    """

    title: str
    fields: type[RequestFields]
    file: str
    answer: type[msgspec.Struct]
    render: Callable[[Results, Arguments, LoadedModel], msgspec.Struct]
    tasks: tuple[Task, ...] = TASKS
    takes_encoded: bool = False
    video: VideoAnswer | None = None

    def wire_name(self, attribute: str) -> str:
        """The name that the dialect has for a field, such as "confidence" for "conf"."""
        return next(f.encode_name for f in msgspec.structs.fields(self.fields) if f.name == attribute)

    @property
    def names(self) -> list[str]:
        """The names of all fields of a request, that of the file first."""
        return [self.file, *self.fields.__struct_encode_fields__]

    @property
    def long_field(self) -> str | None:
        """The field whose text may be as long as a body; None where all are short."""
        return self.wire_name("url") if self.takes_encoded else None

    def read(self, fields: Mapping[str, Any]) -> Arguments:
        """Validate the fields of a request.

        Args:
            fields: values by wire name: text from forms and queries, typed from JSON.

        Raises:
            InputError: a value is out of its range; the line names the field, its value and the range.
        """
        found = read_fields(fields, self.fields)
        source = found.url or None
        if source is not None and len(source) > MAX_ADDRESS and is_address(source):
            name = self.wire_name("url")
            raise InputError(f"{name}={shown(source)}: expected an address of up to {MAX_ADDRESS} characters")
        is_encoded = self.takes_encoded and source is not None and not is_address(source)
        return Arguments(
            self,
            url=None if is_encoded else source,
            size=found.size or None,
            conf=found.conf,
            iou=found.iou,
            model=getattr(found, "model", None) or None,
            tile=getattr(found, "tile", None) or None,
            encoded=source if is_encoded else None,
            **{name: getattr(found, name) for name in _OPTIONAL if hasattr(found, name)},
        )


Fields = TypeVar("Fields", bound=msgspec.Struct)


def read_fields(fields: Mapping[str, Any], kind: type[Fields]) -> Fields:
    """Validate fields whose names are known.

    Args:
        fields: values by wire name: text, or typed from JSON.
        kind: the struct with their types and ranges.

    Raises:
        InputError: a value is out of its range; the line names the field, its value and the range.
    """
    try:
        return msgspec.convert(dict(fields), kind, strict=False)
    except msgspec.ValidationError as exc:
        raise InputError(_complaint(fields, kind, str(exc))) from None


def _complaint(fields: Mapping[str, Any], kind: type[Fields], reason: str) -> str:
    """The first field that is wrong, its value and its range; `reason` if no field alone is wrong."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in fields.items():
        try:
            msgspec.convert({name: value}, kind, strict=False)
        except msgspec.ValidationError:
            return f"{name}={shown(value)}: expected {_expected(types[name])}"
    return reason


def shown(value: Any) -> str:
    """A value for a message: its `repr`, cut off after 60 characters."""
    text = repr(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _expected(hint: Any) -> str:
    """The range of a field, in words."""
    kind, meta = _annotated(hint)
    if get_origin(kind) is Literal:
        *others, last = map(str, get_args(kind))
        return f"{', '.join(others)} or {last}"
    if kind is bool:
        return "true or false"
    if kind is str:
        most = f"{meta.min_length} to {meta.max_length}" if meta.max_length else f"at least {meta.min_length}"
        return f"text of {most} characters"
    number = "a whole number" if kind is int else "a number"
    return f"{number} from {meta.ge} to {meta.le}"


def _annotated(hint: Any) -> tuple[Any, Meta]:
    """The type and its limits, out of `Annotated[type, Meta(...)]` or a union of that and UNSET."""
    parts = get_args(hint)
    if any(isinstance(part, Meta) for part in parts):
        return parts[0], next(part for part in parts if isinstance(part, Meta))
    return _annotated(next(part for part in parts if get_args(part)))
