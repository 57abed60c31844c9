"""An image whose slices run one by one, and what was found in those that have run."""

from __future__ import annotations

from time import perf_counter

from ..engine.batches import Outputs, Placed
from ..engine.images.frames import Frame
from ..engine.pipeline import Engine
from ..engine.results.results import Results
from ..engine.runs import Decoded, merged, place_slice
from ..engine.tiling import Region, Tiling
from ..postprocess.detections import Options
from ..postprocess.types import Size


class SlicedImage:
    """The slices of an image, of which one at a time is run: first the whole image, then the others.

    Attributes:
        frame: the image, once it is decoded.
    """

    def __init__(self, tiling: Tiling) -> None:
        """Slice an image that is decoded with the first run."""
        self._tiling = tiling
        self._regions: list[Region] = []
        self._found: list[Decoded] = []  # the whole image first
        self.frame: Frame | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all slices have run."""
        return 0 < len(self._regions) == len(self._found)

    def place(self, engine: Engine, frame: Frame, size: Size) -> Placed:
        """Place the next slice in its tensor; with the first, the slices are counted.

        Raises:
            InputError: there are too many.
        """
        if self.frame is None:
            *slices, whole = self._tiling.regions(Size.of(frame.image))
            self._regions, self.frame = [whole, *slices], frame
        return place_slice(engine, frame, self._regions[len(self._found)], size)

    def take(
        self, engine: Engine, outputs: Outputs, row: int, options: Options
    ) -> tuple[Results | None, dict[str, float]]:
        """Take what was found in a slice.

        Returns:
            the results of the image with its last slice, before it None; and milliseconds by stage of this
            slice alone.
        """
        assert self.frame is not None
        decoded = engine.decode(outputs, row, options)
        started = perf_counter()
        self._found.append(decoded)
        results = None
        if self.is_complete:
            whole, *slices = self._found
            results = merged(engine, self.frame, [*slices, whole], options, self._tiling)
        speed = dict(decoded.speed)
        speed["postprocess"] += (perf_counter() - started) * 1e3
        if len(self._found) == 1:
            speed["decode"] = self.frame.decode_ms
        return results, speed
