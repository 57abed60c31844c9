"""ONNX Runtime: devices, CPU cores, sessions and their errors."""
