"""The Open Inference Protocol, version 2: what the JSON of its requests and answers consists of.

KServe, Triton, Seldon and MLServer speak it, with the binary tensor data extension of Triton. Its requests
are tensors instead of fields, so that it has modules of its own: `inference_request` reads them,
`inference_outputs` makes the answers, `tensor_data` translates tensors.

https://github.com/kserve/open-inference-protocol
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .dialect import Confidence, Iou, SideLength

NAME = "yolean"
EXTENSIONS = ["binary_tensor_data", "parameters"]
PLATFORM_NAME = "onnxruntime_onnx"
"""Of every model: what Triton calls the ONNX Runtime."""

VERSION = "1"
"""Of every model: a file that is replaced is the model of now, and none of before can be asked for."""

HEADER_LENGTH = "inference-header-content-length"
"""The header that says how many bytes of a body are JSON, where binary tensors follow it."""

ENCODED_IMAGES, IMAGES = "encoded_images", "images"
"""The inputs, of which a request has one: images as files, or the input tensor of the network."""

MAX_IMAGES = 32
"""Images of a request."""

Parameter = bool | int | float | str
Dimensions = Annotated[list[int], Meta(max_length=8)]
TensorData = Annotated[
    msgspec.Raw,
    Meta(
        description="The elements in row-major order, flat or nested: numbers, or images in base64.",
        extra_json_schema={"type": "array", "items": {}},
    ),
]


class InferenceError(msgspec.Struct):
    """Every answer with a status from 400 on, of the routes of the Open Inference Protocol."""

    error: Annotated[str, Meta(description="One line.")]


class ServerMetadata(msgspec.Struct):
    """`GET /v2`."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(msgspec.Struct):
    """`GET /v2/health/live`."""

    live: bool


class ServerReady(msgspec.Struct):
    """`GET /v2/health/ready`."""

    ready: bool


class ModelReady(msgspec.Struct):
    """`GET /v2/models/{model_id}/ready`."""

    name: str
    ready: bool


class TensorMetadata(msgspec.Struct):
    """An input or output of a model."""

    name: str
    datatype: str
    shape: Annotated[
        list[int], Meta(description="-1 where the length is that of the request or of the answer.")
    ]


class ModelMetadata(msgspec.Struct):
    """`GET /v2/models/{model_id}`."""

    name: str
    versions: list[str]
    platform: str
    inputs: Annotated[list[TensorMetadata], Meta(description="A request has one of them.")]
    outputs: list[TensorMetadata]


class InferenceParameters(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """`parameters` of a request: thresholds and filters, and how its outputs are sent."""

    conf: Confidence = 0.25
    iou: Iou = 0.45
    max_det: Annotated[int, Meta(ge=1, le=1000, description="Most objects for each image.")] = 300
    imgsz: SideLength | UnsetType = UNSET
    classes: (
        Annotated[
            int | str, Meta(description="Keep only these class ids: one, or several as text such as 0,2.")
        ]
        | UnsetType
    ) = UNSET
    timeout: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=3600 * 10**6,
                description="Microseconds that an image may wait, if that is less than the server allows.",
            ),
        ]
        | UnsetType
    ) = UNSET
    binary_data_output: Annotated[
        bool, Meta(description="Outputs are binary, unless their own binary_data says otherwise.")
    ] = False


class RequestInput(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A tensor of a request: its elements are in `data`, or behind the JSON, `binary_data_size` bytes."""

    name: str
    shape: Dimensions
    datatype: str
    parameters: dict[str, Parameter] | None = None
    data: TensorData | UnsetType = UNSET


class RequestOutput(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Parameter] | None = None


class InferenceRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /v2/models/{model_id}/infer`."""

    inputs: Annotated[
        list[RequestInput], Meta(description="One of those that the metadata of the model lists.")
    ]
    outputs: Annotated[list[RequestOutput] | None, Meta(description="Default: all.")] = None
    parameters: dict[str, Parameter] | None = None
    id: Annotated[str | None, Meta(description="Comes back in the answer.")] = None
    model_name: Annotated[str | None, Meta(description="Not read: the path names the model.")] = None
    model_version: Annotated[str | None, Meta(description="Not read, either.")] = None


class BinarySize(msgspec.Struct):
    """`parameters` of an output whose elements are behind the JSON."""

    binary_data_size: Annotated[int, Meta(description="Bytes.")]


class ResponseOutput(msgspec.Struct, kw_only=True):
    """A tensor of an answer."""

    name: str
    datatype: Literal["FP32", "INT64", "INT32", "INT16", "UINT8", "BYTES"]
    shape: list[int]
    parameters: BinarySize | UnsetType = UNSET
    data: Annotated[list[int | float | str], Meta(description="The elements, flat.")] | UnsetType = UNSET


class InferenceResponse(msgspec.Struct, kw_only=True):
    """The answer; binary tensors follow the JSON in the order of `outputs`."""

    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | UnsetType = UNSET


def is_inference_path(path: str) -> bool:
    """Whether a path, without that of a mount, is one of the Open Inference Protocol, served or not."""
    return path == "/v2" or path.startswith("/v2/")
