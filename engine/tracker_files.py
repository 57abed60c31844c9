"""From the name of a tracker, or the path of one of Ultralytics' tracker files, to its thresholds."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .._install_advice import install_command
from ..tracking.association import solver
from ..tracking.tracker_config import BOTSORT, BYTETRACK, TrackerConfig, TrackerConfigError
from .errors import InputError

BUILT_IN = {"bytetrack": BYTETRACK, "botsort": BOTSORT}

_OPTIONAL = {"model"}  # files of earlier versions lack it
_OF_REID = {"proximity_thresh", "appearance_thresh", "with_reid", "model"}
_OF_BOTH = {field.name for field in fields(TrackerConfig)} - {"gmc_method"}
_KEYS = {"bytetrack": _OF_BOTH, "botsort": _OF_BOTH | {"gmc_method"} | _OF_REID}


def tracker_config(tracker: str | Path | TrackerConfig) -> TrackerConfig:
    """The thresholds of a tracker.

    Args:
        tracker: `bytetrack` or `botsort`, with or without `.yaml` where there is no file of that name; a YAML
            file with exactly the keys of Ultralytics' bytetrack.yaml or botsort.yaml; or thresholds.

    Raises:
        InputError: there is no such file, its keys or values are wrong, or a package of the extra `track`
            is missing.
    """
    try:
        solver()
    except ModuleNotFoundError as exc:
        raise InputError(f"tracking needs lap, or scipy: {install_command('track')}") from exc
    if isinstance(tracker, TrackerConfig):
        return tracker
    path = Path(tracker)
    built_in = BUILT_IN.get(str(tracker).removesuffix(".yaml"))
    if built_in is not None and not path.is_file():
        return built_in
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"tracker={str(tracker)!r}: expected {' or '.join(BUILT_IN)}, or a .yaml file")
    return _from_keys(str(path), _read_yaml(path))


def _read_yaml(path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as exc:
        raise InputError(f"reading {path} needs PyYAML: {install_command('track')}") from exc
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is no text"
        raise InputError(f"{path}: the tracker file cannot be read ({reason})") from exc
    except yaml.YAMLError as exc:
        raise InputError(f"{path}: this is no YAML: {' '.join(str(exc).split())}") from exc


def _from_keys(path: str, found: Any) -> TrackerConfig:
    """Thresholds from the content of a file."""
    if not isinstance(found, dict):
        raise InputError(
            f"{path}: expected lines such as `tracker_type: bytetrack`, found {type(found).__name__}"
        )
    kind = found.get("tracker_type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise InputError(f"{path}: tracker_type: expected {' or '.join(_KEYS)}, found {kind!r}")
    known = _KEYS[kind]
    if unknown := [str(key) for key in found if key not in known]:
        raise InputError(f"{path}: {kind} has no key {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if missing := sorted(known - _OPTIONAL - found.keys()):
        raise InputError(f"{path}: expected a value of {', '.join(missing)}, found none")
    if found.get("with_reid", False) is not False:
        raise InputError(
            f"{path}: with_reid: expected False, found {found['with_reid']!r}: ReID is not there"
        )
    try:
        values = {key: value for key, value in found.items() if key not in _OF_REID}
        if "gmc_method" in values and values["gmc_method"] in (None, "None"):
            values["gmc_method"] = "none"
        return replace(BUILT_IN[kind], **values)
    except TrackerConfigError as exc:
        raise InputError(f"{path}: {exc}") from exc
