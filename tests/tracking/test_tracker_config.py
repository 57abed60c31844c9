"""Values of a tracker."""

from __future__ import annotations

from typing import Any

import pytest
from yolean.tracking.tracker_config import TrackerConfig, TrackerConfigError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"tracker_type": "ocsort"}, "tracker_type: expected bytetrack or botsort, found 'ocsort'"),
        ({"gmc_method": "orb"}, "gmc_method: expected sparseOptFlow or none, found 'orb'"),
        ({"match_thresh": 1.5}, "match_thresh: expected a number from 0 to 1, found 1.5"),
        ({"track_high_thresh": "0.5"}, "track_high_thresh: expected a number from 0 to 1, found '0.5'"),
        ({"track_low_thresh": True}, "track_low_thresh: expected a number from 0 to 1, found True"),
        ({"new_track_thresh": float("nan")}, "new_track_thresh: expected a number from 0 to 1, found nan"),
        ({"track_buffer": -1}, "track_buffer: expected a whole number from 0, found -1"),
        ({"track_buffer": 2.5}, "track_buffer: expected a whole number from 0, found 2.5"),
        ({"fuse_score": 1}, "fuse_score: expected True or False, found 1"),
    ],
)
def test_what_is_out_of_range_is_named(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(TrackerConfigError) as caught:
        TrackerConfig(**values)
    assert str(caught.value) == expected
