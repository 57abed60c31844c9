"""The errors that yolean raises on purpose.

    YoleanError
    ├── ModelError     the model file: unreadable, not YOLO, contradicts itself
    ├── DeviceError    the runtime or the requested device is not usable
    ├── InputError     an argument of the caller: an image, a size, a threshold
    └── ServerBusy     the queue of the server is full

Every message is one line: what was expected, what was found and what to do. Exceptions of ONNX Runtime are
mapped to these by `runtime.ort_errors` and nowhere else.
"""

from __future__ import annotations

from numbers import Integral


def is_whole(value: object) -> bool:
    """Whether an argument is an integer of Python or numpy, and not a bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


class YoleanError(Exception):
    """Base of every error that yolean raises on purpose."""


class ModelError(YoleanError):
    """The model file cannot be read, is not a YOLO export, or contradicts its own metadata."""


class DeviceError(YoleanError):
    """ONNX Runtime is missing or doubled, or the requested device is not usable here."""


class InputError(YoleanError, ValueError):
    """An argument is out of range, or an image cannot be read."""


class ServerBusy(YoleanError):
    """The server cannot accept the request now; the client may repeat it later.

    Attributes:
        retry_after: seconds to wait before that.
    """

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after
