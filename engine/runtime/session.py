"""The ONNX Runtime session: providers, threads, buffers. It knows nothing of YOLO."""

from __future__ import annotations

import io
import logging
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DeviceError, InputError, is_whole
from .binding import Array, Binding
from .cpu import usable_cores
from .devices import PROVIDERS, Device, Provider, candidates, import_runtime, provider_options
from .model_file import check_model, path_or_bytes
from .ort_errors import mapped

log = logging.getLogger("yolean")

_MAX_THREADS = 1024
_REDIRECTING = threading.Lock()


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output as the model file declares it.

    Attributes:
        name: in the graph.
        shape: the length of each axis; a name or None where it is free.
        dtype: in ONNX Runtime's words, such as `tensor(float)`.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str


class Session:
    """One model on one device.

    On the CPU, `run` may be called from several threads. On GPUs, one thread owns the session and `run`
    waits for it: concurrent runs of one CUDA session corrupt results or crash.

    Attributes:
        device: the device in use, which a fallback may have changed.
        provider: ONNX Runtime's name of the first execution provider in use.
        threads: intra-op threads of one run on the CPU.
        inputs, outputs: as the model file declares them.
        metadata: the key-value pairs of the model file.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        device: str = "auto",
        *,
        threads: int | None = None,
        precision: str | None = None,
        providers: Sequence[str | Provider] | None = None,
        cuda_graph: bool = False,
    ) -> None:
        """Load a model.

        Args:
            model: an .onnx file, or its bytes.
            device: `auto`, `cpu`, `cuda[:N]`, `tensorrt[:N]`, `openvino[:CPU|GPU|NPU]`, `coreml` or
                `directml[:N]`. A named device is used or refused; only `auto` may fall back to the CPU.
            threads: intra-op threads of one run, 1 to 1024; default: the cores that this process may use.
            precision: `fp32`, `fp16` or `bf16`, where the device offers it. OpenVINO takes bf16 by default
                on CPUs that have it.
            providers: ONNX Runtime's own provider list, which replaces what `device` implies.
            cuda_graph: record the run as a CUDA graph (static shapes only).

        Raises:
            ModelError: the file is missing, not ONNX, or newer than this ONNX Runtime.
            DeviceError: the device is not usable here.
            InputError: an argument is out of range.
        """
        self._ort = import_runtime()
        if threads is not None and not (is_whole(threads) and 1 <= threads <= _MAX_THREADS):
            raise InputError(f"threads={threads!r}: expected a whole number from 1 to {_MAX_THREADS}")
        self.threads = threads or usable_cores()
        data = check_model(model)
        if providers is None:
            self._session, self.device = self._open(data, device, precision, cuda_graph)
        elif precision is not None:
            raise InputError("precision= belongs to device=; with providers=, say it in their options")
        else:
            wanted = self._listed(providers)
            self._session, self.device = self._create(data, wanted), _device_of(wanted)
        if cuda_graph and self.device.name != "cuda":
            raise InputError(f"cuda_graph: only cuda replays graphs, and this model runs on {self.device}")
        self.provider: str = self._session.get_providers()[0]
        self.inputs = tuple(map(_info, self._session.get_inputs()))
        self.outputs = tuple(map(_info, self._session.get_outputs()))
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._names = [o.name for o in self.outputs]
        self._owner = ThreadPoolExecutor(1, "yolean-gpu") if self.device.is_gpu else None
        self._bound: dict[tuple[int, ...], Binding] = {}

    def run(self, tensor: Array, floor: float = -math.inf) -> list[Array]:
        """Run the model on one image tensor; returns its outputs in the file's order.

        Args:
            tensor: (batch, channels, height, width).
            floor: for files that take a threshold as a second input: the class logit above which an anchor
                survives. Off the CPU it stays minus infinity: other devices gain nothing from few survivors.

        Raises:
            ModelError: the graph refuses this tensor.
            DeviceError: the GPU fails, or is out of memory.
        """
        if self._owner is None:
            with mapped(self.provider, tensor.shape):
                outputs: list[Array] = self._session.run(self._names, self._feed(tensor, floor))
            return outputs
        return self._owner.submit(self._run_bound, tensor).result()

    def _feed(self, tensor: Array, floor: float) -> dict[str, Array]:
        """The inputs by name."""
        feed = {self.inputs[0].name: tensor}
        if len(self.inputs) == 2:
            on_cpu = self.provider == "CPUExecutionProvider"
            feed[self.inputs[1].name] = np.array(floor if on_cpu else -math.inf, np.float32)
        return feed

    def close(self) -> None:
        """End the owner thread of a GPU session, which is not usable afterwards."""
        if self._owner is not None:
            self._owner.shutdown()

    def _listed(self, providers: Sequence[str | Provider]) -> list[Provider]:
        """Check the provider list of a caller."""
        listed = [providers] if isinstance(providers, str) else list(providers)
        wanted: list[Provider] = []
        for entry in listed:
            match entry:
                case str():
                    wanted.append((entry, {}))
                case [str() as name, dict() as options]:
                    wanted.append((name, options))
                case _:
                    raise InputError(
                        f"providers: expected names, or pairs of name and options, found {entry!r}"
                    )
        available = self._ort.get_available_providers()
        unknown = [name for name, _ in wanted if name not in available]
        if unknown or not wanted:
            raise DeviceError(f"providers={unknown}: the installed ONNX Runtime has {', '.join(available)}")
        return wanted

    def _open(
        self, model: Path | bytes, device: str, precision: str | None, cuda_graph: bool
    ) -> tuple[Any, Device]:
        """A session on the first candidate that starts; the error of the last one if none does."""
        choices = candidates(device, self._ort.get_available_providers())
        for choice in choices:
            wanted = provider_options(choice, model, self.threads, precision, cuda_graph)
            try:
                return self._create(model, wanted), choice
            except DeviceError as exc:
                if choice is choices[-1]:
                    raise
                log.warning("%s is not usable, falling back to %s: %s", choice, choices[-1], exc)
        raise AssertionError("the CPU is always a candidate")

    def _create(self, model: Path | bytes, providers: list[Provider]) -> Any:
        """A session on exactly the first provider of the list.

        Raises:
            DeviceError: ONNX Runtime came up without that provider.
        """
        name = providers[0][0]
        if "CUDA" in name or "Tensorrt" in name:
            _find_cuda(self._ort)
        options = self._session_options(name)
        with mapped(name), _quiet(self._ort, name):
            session = self._ort.InferenceSession(
                path_or_bytes(model, options),
                options,
                providers=[p for p, _ in providers],
                provider_options=[o for _, o in providers],
                enable_fallback=0,
            )
        found = session.get_providers()
        if found[0] != name:
            raise DeviceError(
                f"ONNX Runtime {self._ort.__version__} has {name} but could not start it and offers {found}; "
                "its CUDA, cuDNN or driver version does not fit: see `yolean doctor`"
            )
        return session

    def _session_options(self, provider: str) -> Any:
        options = self._ort.SessionOptions()
        options.log_severity_level = 4  # fatal only: every failure reaches the caller as an exception
        # Explicit numbers: the default ignores quotas and pins threads to cores that may not be ours.
        options.intra_op_num_threads = self.threads if provider == "CPUExecutionProvider" else 1
        options.inter_op_num_threads = 1
        # Threads spin within a run and sleep between runs. Spinning between runs too, the pool of an idle
        # session takes the cores from the busy one: two alternating models took 1.5 times as long each. A
        # global thread pool avoids that too, but then no session of the process may have its own pool.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # Without VNNI, x86 sums pairs of u8 x s8 products in 16 bits, which saturate: INT8 models then give
        # wrong outputs. With this entry such CPUs use kernels that do not; CPUs with VNNI ignore it.
        options.add_session_config_entry("session.x64quantprecision", "1")
        # Saves 20 MB a model and, with free shapes, growth with every new shape; costs no measurable time.
        options.enable_mem_pattern = False
        return options

    def _run_bound(self, tensor: Array) -> list[Array]:
        """Run on the GPU through buffers that live there; called by the owner thread alone."""
        with mapped(self.provider, tensor.shape):
            if tensor.shape not in self._bound:
                if len(self._bound) >= 8:  # a few shapes recur; keeping every shape would fill the GPU
                    del self._bound[next(iter(self._bound))]
                kind = "dml" if self.device.name == "directml" else "cuda"
                unit = int(self.device.unit or 0)
                self._bound[tensor.shape] = Binding(self._ort, self._session, tensor, kind, unit)
            return self._bound[tensor.shape].run(tensor)


def _find_cuda(ort: Any) -> None:
    """Load the CUDA libraries from NVIDIA's pip wheels, as importing torch would."""
    preload = getattr(ort, "preload_dlls", None)
    # It prints missing libraries to standard output, which belongs to the caller. The lock: of two
    # overlapping redirections, the one that ends last would leave standard output redirected for good.
    with _REDIRECTING:
        if preload is not None:
            with redirect_stdout(io.StringIO()):
                preload(directory="")


@contextmanager
def _quiet(ort: Any, provider: str) -> Iterator[None]:
    """Keep a GPU provider's log lines off standard error: what failed becomes an exception."""
    if provider == "CPUExecutionProvider":
        yield
        return
    ort.set_default_logger_severity(4)
    try:
        yield
    finally:
        ort.set_default_logger_severity(2)  # ONNX Runtime's default; the level before cannot be read


def _info(argument: Any) -> TensorInfo:
    return TensorInfo(argument.name, tuple(argument.shape), argument.type)


def _device_of(providers: list[Provider]) -> Device:
    name, options = providers[0]
    short = next((key for key, value in PROVIDERS.items() if value == name), None)
    return Device(short or name.removesuffix("ExecutionProvider").lower(), str(options.get("device_id", "")))
