"""Interleaved measurement of systems under test; what `yolean bench` and the harness share."""
