"""Results of two models for the same images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...engine.pipeline import Engine
from ...engine.results.results import Results
from ..trial_images import read_images

CONF, MAX_DET = 0.25, 300
"""Least score and most objects of the results that are compared: the defaults of a call."""


def paired_results(
    reference: Engine, candidate: Engine, images: Iterable[Path], conf: float = CONF
) -> Iterator[tuple[Results, Results]]:
    """Run two models on the same images; images that cannot be read are left out."""
    for frame in read_images(images, reference.spec.channels):
        yield reference(frame.image, conf=conf)[0], candidate(frame.image, conf=conf)[0]
