"""The models of a server: loaded, warmed up, replaced and removed while it runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from time import perf_counter, time

from ..engine.batches import default_batch
from ..engine.errors import InputError, ModelError, YoleanError
from ..engine.loading import load
from ..engine.pipeline import Engine
from .batching import Batcher
from .settings import ModelSource

log = logging.getLogger("yolean.server")

Signature = tuple[int, int, int]
"""Modification time in ns, bytes, and inode of a file: another one means that the file is another."""

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
    """The model files that were named, and the models loaded from them.

    `models` and `failures` are replaced as a whole, never changed: readers need no lock.

    Attributes:
        models: what is served now, by id.
        failures: why files could not be loaded, one line each, by id.
        is_ready: whether `refresh` has ended once: every model that can be loaded has run once.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        device: str,
        intra_op_threads: Sequence[int],
        on_load: Callable[[bool], None] = lambda loaded: None,
        batch_window: float = 0.0,
    ) -> None:
        """Remember the sources; `refresh` loads.

        Args:
            sources: files and folders.
            device: as for `yolean.load`.
            intra_op_threads: numbers of threads that a run may use, most first; a model on the CPU gets an
                engine for each.
            on_load: called after every attempt to load, with whether it succeeded.
            batch_window: milliseconds that a batch waits for more.
        """
        self._sources, self._device, self._intra_op_threads = sources, device, intra_op_threads
        self._on_load, self._window = on_load, batch_window
        self.models: Mapping[str, LoadedModel] = {}
        self.failures: Mapping[str, str] = {}
        self.is_ready = False
        self._loaded: dict[str, Signature] = {}  # of the last attempt for an id
        self._folders = {source for source in sources if source.path.is_dir()}
        self._seen: dict[str, Signature] = {}  # by the last `refresh`
        self._refreshing = Lock()

    def refresh(self, at_once: bool = True) -> bool:
        """Load new and replaced files, and remove the models whose files are gone.

        A new file is loaded and warmed up beside the old model, which stays if that fails.

        Args:
            at_once: load whatever is new; otherwise only files that have not changed since the last
                `refresh`, because a file that is being copied changes all the time.

        Returns:
            Whether anything changed.

        Raises:
            SameName: two files have one id.
        """
        with self._refreshing:
            found = self._scan()
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
                self._load_or_keep(model_id, path, signature)
            for model_id in gone:
                self._remove(model_id)
            self.failures = {i: reason for i, reason in self.failures.items() if i in found}
            self.is_ready = True
            return bool(changed or gone)

    def find(self, name: str) -> LoadedModel | None:
        """The model that a name with slashes ends in: by the whole name, else by the longest end of it.

        So `owner/project/model` and an address find a model that is called `model`.
        """
        parts = name.split("/")
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((self.models[end] for end in ends if end in self.models), None)

    def named_failures(self) -> list[str]:
        """The failures of files that were named one by one, without which a server must not start."""
        named = {s.id or s.path.stem for s in self._sources if s not in self._folders}
        return [reason for model_id, reason in self.failures.items() if model_id in named]

    def _scan(self) -> dict[str, tuple[Path, Signature]]:
        """The files that there are now, by the ids of their models."""
        found: dict[str, tuple[Path, Signature]] = {}
        for source in self._sources:
            is_folder = source in self._folders
            for path in self._files(source) if is_folder else [source.path]:
                model_id = _as_text(path.stem) if source.id is None else source.id
                try:
                    signature = _signature(path)
                except OSError:
                    # Gone with its folder, or since it was named: what is loaded stays served.
                    if is_folder and source.path.is_dir():
                        continue
                    signature = self._loaded.get(model_id, _NO_FILE)
                if model_id in found and found[model_id][0] != path:
                    raise SameName(model_id, found[model_id][0], path)
                found[model_id] = (path, signature)
        return found

    def _files(self, folder: ModelSource) -> list[Path]:
        """The model files in a folder; those of before if the folder is gone, as one of a network may be."""
        if not folder.path.is_dir():
            return [m.path for m in self.models.values() if m.path.parent == folder.path]
        # Hidden ones are what other systems leave behind, such as ._model.onnx
        return sorted(path for path in folder.path.glob("*.onnx") if not path.name.startswith("."))

    def _load_or_keep(self, model_id: str, path: Path, signature: Signature) -> None:
        """Load a model and serve it, or note why not and keep the one before."""
        started = perf_counter()
        try:
            model = self._load(model_id, path)
            if _signature(path) != signature:
                raise ModelError(f"{path} has changed while it was loaded")
        except Exception as exc:  # whatever is wrong with a file: the others are served on
            reason = _as_text(str(exc) if isinstance(exc, YoleanError) else f"{path}: {type(exc).__name__}")
            # /health shows the file's name, but not the folders of this machine.
            self.failures = {**self.failures, model_id: reason.replace(f"{path.parent}{os.sep}", "")}
            kept = "; the model before it stays" if model_id in self.models else ""
            log.error("model %s cannot be loaded%s: %s", model_id, kept, reason)
            self._on_load(False)
            return
        engine = model.engine
        self.models = dict(sorted({**self.models, model_id: model}.items()))
        self.failures = {i: reason for i, reason in self.failures.items() if i != model_id}
        seconds = perf_counter() - started
        log.info(
            "model %s: %s on %s, loaded in %.1f s", model_id, engine.task, engine.session.device, seconds
        )
        self._on_load(True)

    def _remove(self, model_id: str) -> None:
        del self._loaded[model_id]
        if model_id in self.models:
            self.models = {i: model for i, model in self.models.items() if i != model_id}
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
