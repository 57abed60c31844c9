"""The models that a server has: loaded, warmed, replaced, and removed while it runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from time import perf_counter, time

from ..engine.errors import InputError, ModelError, YoleanError
from ..engine.loading import load
from ..engine.pipeline import Engine, default_batch
from .batching import Batcher
from .settings import ModelSource

log = logging.getLogger("yolean.server")

Signature = tuple[int, int, int]
_NO_FILE: Signature = (0, 0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model, ready to run. Requests keep a reference, so that replacing it disturbs none of them.

    Attributes:
        id: its name in requests.
        path: its file.
        digest: SHA-256 of the file, hexadecimal.
        engines: one for each number of intra-op threads, most first; a single one for GPUs, for other
            accelerators and for fixed batches.
        loaded_at: seconds since the epoch.
        batcher: joins requests into runs of several images, for GPUs and fixed batches; else None.
    """

    id: str
    path: Path
    digest: str
    engines: Mapping[int, Engine]
    loaded_at: float = field(default_factory=time)
    batcher: Batcher | None = None

    @property
    def engine(self) -> Engine:
        """The engine with the most threads, for what is the same in all of them."""
        return next(iter(self.engines.values()))


class SameName(InputError):
    """Two files would have one id.

    Attributes:
        detail: the message with the paths, for the log; clients may see the message.
    """

    def __init__(self, model_id: str, first: Path, second: Path) -> None:
        super().__init__(
            f"two files would both be called {model_id!r}: rename one, or name it as --models ID=FILE"
        )
        self.detail = f"{self} ({first} and {second})"


class Registry:
    """Files of models, and what is loaded of them.

    `models` is replaced as a whole, never changed: readers need no lock.

    Attributes:
        models: what is served now, by id.
        failures: one line a file that could not be loaded, by id.
        is_ready: whether the first look is over: every model has run once.
    """

    def __init__(
        self,
        places: Sequence[ModelSource],
        device: str,
        intra_op_threads: Sequence[int],
        on_load: Callable[[bool], None] = lambda loaded: None,
        batch_window: float = 0.0,
    ) -> None:
        """Remember where to look; `refresh` loads.

        Args:
            places: files and folders.
            device: as for `yolean.load`.
            intra_op_threads: numbers of threads that a run may use, most first; a model on the CPU gets an
                engine for each.
            on_load: is told of every attempt to load whether it succeeded.
            batch_window: milliseconds that a batch waits for more.
        """
        self._places, self._device, self._intra_op_threads = places, device, intra_op_threads
        self._on_load, self._window = on_load, batch_window
        self.models: Mapping[str, LoadedModel] = {}
        self.failures: Mapping[str, str] = {}
        self.is_ready = False
        self._loaded: dict[str, Signature] = {}  # of the last attempt for an id
        self._folders = {place for place in places if place.path.is_dir()}
        self._seen: dict[str, Signature] = {}  # at the last look
        self._refreshing = Lock()

    def refresh(self, at_once: bool = True) -> bool:
        """Look for new, replaced and removed files; returns whether anything changed.

        A new file is loaded and warmed beside the old one, which stays if that fails.

        Args:
            at_once: load what is new; otherwise only what is as it was at the last look, because a file
                that is being copied changes from look to look.

        Raises:
            SameName: two files have one id.
        """
        with self._refreshing:
            found = self._look()
            steady = {i for i, (_, s) in found.items() if at_once or self._seen.get(i) == s}
            gone = [i for i in self._loaded if i not in found and (at_once or i not in self._seen)]
            self._seen = {i: signature for i, (_, signature) in found.items()}
            retried = self.failures if at_once else {}
            changed = [
                i for i in found if i in steady and (self._loaded.get(i) != found[i][1] or i in retried)
            ]
            for model_id in changed:
                path, signature = found[model_id]
                self._loaded[model_id] = signature
                self._try(model_id, path, signature)
            for model_id in gone:
                self._drop(model_id)
            self.failures = {i: reason for i, reason in self.failures.items() if i in found}
            self.is_ready = True
            return bool(changed or gone)

    def named_failures(self) -> list[str]:
        """What is wrong with files that were named one by one; a server must not start without them."""
        named = {place.id or place.path.stem for place in self._places if place not in self._folders}
        return [reason for model_id, reason in self.failures.items() if model_id in named]

    def _look(self) -> dict[str, tuple[Path, Signature]]:
        found: dict[str, tuple[Path, Signature]] = {}
        for place in self._places:
            folder = place in self._folders
            for path in self._files(place) if folder else [place.path]:
                model_id = _as_text(path.stem) if place.id is None else place.id
                try:
                    signature = _signature(path)
                except OSError:
                    # Gone with its folder, or since it was named: that stays served, or is missed.
                    if folder and place.path.is_dir():
                        continue
                    signature = self._loaded.get(model_id, _NO_FILE)
                if model_id in found and found[model_id][0] != path:
                    raise SameName(model_id, found[model_id][0], path)
                found[model_id] = (path, signature)
        return found

    def _files(self, folder: ModelSource) -> list[Path]:
        """The models in a folder; if the folder itself is gone, as a network's may be, those of before."""
        if not folder.path.is_dir():
            return [m.path for m in self.models.values() if m.path.parent == folder.path]
        # Hidden ones are what other systems leave behind, such as ._model.onnx
        return sorted(path for path in folder.path.glob("*.onnx") if not path.name.startswith("."))

    def _try(self, model_id: str, path: Path, signature: Signature) -> None:
        started = perf_counter()
        try:
            served = self._load(model_id, path)
            if _signature(path) != signature:
                raise ModelError(f"{path} has changed while it was loaded")
        except Exception as exc:  # whatever is wrong with a file: the others are served on
            reason = _as_text(str(exc) if isinstance(exc, YoleanError) else f"{path}: {type(exc).__name__}")
            # Whoever asks /health learns the file's name, and not the folders of this machine.
            self.failures = {**self.failures, model_id: reason.replace(f"{path.parent}{os.sep}", "")}
            kept = "; the model of before stays" if model_id in self.models else ""
            log.error("model %s cannot be loaded%s: %s", model_id, kept, reason)
            self._on_load(False)
            return
        engine = served.engine
        self.models = dict(sorted({**self.models, model_id: served}.items()))
        self.failures = {i: reason for i, reason in self.failures.items() if i != model_id}
        seconds = perf_counter() - started
        log.info(
            "model %s: %s on %s, loaded in %.1f s", model_id, engine.task, engine.session.device, seconds
        )
        self._on_load(True)

    def _drop(self, model_id: str) -> None:
        del self._loaded[model_id]
        if model_id in self.models:
            self.models = {i: served for i, served in self.models.items() if i != model_id}
            log.info("model %s: its file is gone, it is not served any more", model_id)

    def _load(self, model_id: str, path: Path) -> LoadedModel:
        try:
            digest = sha256(path.read_bytes()).hexdigest()
        except OSError as exc:
            raise ModelError(f"{path} cannot be read: {exc.strerror or exc}") from exc
        most, *fewer = self._intra_op_threads
        engine = load(path, self._device, threads=most)
        engines = {most: engine}
        fixed = engine.spec.batch or 1
        batcher = None
        if engine.session.device.is_gpu or fixed > 1:
            batcher = Batcher(engine, engine.spec.batch or default_batch(engine.session), self._window)
        elif engine.session.device.name == "cpu":
            engines |= {n: load(path, self._device, threads=n) for n in fewer}
        for each in engines.values():
            each.warmup()
        return LoadedModel(model_id, path, digest, engines, batcher=batcher)


def _signature(path: Path) -> Signature:
    state = path.stat()
    return state.st_mtime_ns, state.st_size, state.st_ino


def _as_text(name: str) -> str:
    """A name of the file system, which may be no text, with its odd bytes written out."""
    return name.encode(errors="backslashreplace").decode()
