"""Results of two models for the same images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...engine.pipeline import Engine
from ...engine.results.results import Results

CONF, MAX_DET = 0.25, 300
"""Least score and most objects of the results that are compared: the defaults of a call."""


def paired_results(
    reference: Engine, candidate: Engine, images: Iterable[Path]
) -> Iterator[tuple[Results, Results]]:
    """Run two models on the same images; images that cannot be read are left out."""
    for result in reference.stream([str(path) for path in images], conf=CONF, on_error=lambda error: None):
        yield result, candidate(result.orig_img, conf=CONF)[0]
