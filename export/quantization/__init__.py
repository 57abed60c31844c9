"""INT8: calibration, the quantize-dequantize graph, and the search for its settings."""
