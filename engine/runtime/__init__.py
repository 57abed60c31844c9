"""ONNX Runtime: devices, CPU cores, the session, and its errors."""
