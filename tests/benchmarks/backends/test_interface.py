"""What every backend shares: sizes and versions of what it needs."""

from __future__ import annotations

from yolean.benchmarks.backends.interface import installed_mb, installed_versions


def test_the_size_of_a_distribution_includes_what_it_requires_once() -> None:
    click, rich, pygments = (installed_mb([name]) for name in ("click", "rich", "Pygments"))
    assert 0.1 < click < 5
    assert rich > pygments > 1
    assert installed_mb(["rich", "pygments", "rich"]) == rich
    assert installed_mb(["no-such-distribution"]) == 0


def test_only_installed_distributions_are_named() -> None:
    assert installed_versions("no-such-distribution", "numpy") == ("numpy",)
