"""The arguments of a prediction request, in both forms of the HUB API.

Each form is one msgspec struct: requests are validated by it, and `/openapi.json` is made from it. The
field names that a request uses tell its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...engine.errors import InputError

Form = Literal["first", "second"]

Url = Annotated[str, Meta(min_length=1, max_length=2000, description="Address of the image, http or https.")]
Size = Annotated[
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


class First(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The first form: the file is `image`; the answer has coordinates from 0 to 1."""

    url: Url | UnsetType = UNSET
    size: Size | UnsetType = UNSET
    confidence: Confidence = 0.25
    iou: Iou = 0.45


class Second(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The second form: the file is `file`; the answer has coordinates in pixels."""

    source: Url | UnsetType = UNSET
    imgsz: Size | UnsetType = UNSET
    conf: Confidence = 0.25
    iou: Iou = 0.45
    model: ModelId | UnsetType = UNSET


FORMS: dict[Form, type[First] | type[Second]] = {"first": First, "second": Second}
FILES: dict[Form, str] = {"first": "image", "second": "file"}
"""The name of the file in each form."""

_SHARED = {"iou"}
_OWN = {form: {*FORMS[form].__struct_fields__, FILES[form]} - _SHARED for form in FORMS}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a request asks for, whichever form it used.

    Attributes:
        form: which one.
        url, url_field: the address of the image and the name of its field; None if it was sent.
        size, size_field: the size asked for, or None.
        conf, iou: thresholds.
        model: the id for `POST /`.
    """

    form: Form
    url: str | None
    url_field: str
    size: int | None
    size_field: str
    conf: float
    iou: float
    model: str | None


def read_arguments(
    fields: Mapping[str, Any], files: Mapping[str, bytes], default: Form = "first"
) -> Arguments:
    """Check the fields of a request.

    Args:
        fields: names and values as they came: text from forms and queries, typed from JSON.
        files: uploaded files by field.
        default: the form of a request whose fields do not tell.

    Raises:
        InputError: a field is unknown, of the other form, or out of range; the line names it, its value
            and what was expected.
    """
    form = _form([*fields, *files], default)
    struct, file_name = FORMS[form], FILES[form]
    fields = {name: value for name, value in fields.items() if value is not None}  # JSON's null: not given
    for name in files:
        if name != file_name:
            raise InputError(f"{name}: expected text, found a file; the image's field is {file_name!r}")
    if file_name in fields:
        raise InputError(
            f"{file_name}: expected an uploaded file, found {_shown(fields[file_name])}; an address goes "
            f"into {'url' if form == 'first' else 'source'!r}"
        )
    try:
        found = msgspec.convert(dict(fields), struct, strict=False)
    except msgspec.ValidationError as exc:
        raise InputError(_complaint(struct, fields, str(exc))) from None
    if isinstance(found, First):
        url, size, conf, model = found.url, found.size, found.confidence, None
    else:
        url, size, conf, model = found.source, found.imgsz, found.conf, found.model or None
    names = ("url", "size") if form == "first" else ("source", "imgsz")
    return Arguments(form, url or None, names[0], size or None, names[1], conf, found.iou, model)


def _form(names: list[str], default: Form) -> Form:
    """Which form these field names belong to."""
    for name in names:
        if not any(name in known for known in (*_OWN.values(), _SHARED)):
            raise InputError(
                f"unknown field {_shown(name)}: expected image, url, size, confidence, iou, or "
                "file, source, imgsz, conf, iou, model"
            )
    used: dict[Form, list[str]] = {
        form: sorted({repr(n) for n in names if n in _OWN[form]}) for form in FORMS
    }
    if used["first"] and used["second"]:
        raise InputError(
            f"{', '.join(used['first'])} and {', '.join(used['second'])} belong to two forms of the API: "
            "use image, url, size, confidence, or file, source, imgsz, conf"
        )
    return "first" if used["first"] else "second" if used["second"] else default


def _complaint(struct: type[First] | type[Second], fields: Mapping[str, Any], reason: str) -> str:
    """msgspec's complaint in our words: the field, its value, and the range."""
    hints = get_type_hints(struct, include_extras=True)
    for name, value in fields.items():
        try:
            msgspec.convert({name: value}, struct, strict=False)
        except msgspec.ValidationError:
            return f"{name}={_shown(value)}: expected {_expected(hints[name])}"
    return reason


def _expected(hint: Any) -> str:
    kind, meta = _annotated(hint)
    if kind is str:
        return f"text of {meta.min_length} to {meta.max_length} characters"
    number = "a whole number" if kind is int else "a number"
    return f"{number} from {meta.ge} to {meta.le}"


def _annotated(hint: Any) -> tuple[type, Meta]:
    """The type and its limits, out of `Annotated[type, Meta(...)]` or that or unset."""
    parts = get_args(hint)
    if any(isinstance(part, Meta) for part in parts):
        return parts[0], next(part for part in parts if isinstance(part, Meta))
    return _annotated(next(part for part in parts if get_args(part)))


def _shown(value: Any) -> str:
    """A value in a message: whole if short, and never with line breaks."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
