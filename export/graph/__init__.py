"""ONNX graphs: reading, finding the head, exact rewrites."""
