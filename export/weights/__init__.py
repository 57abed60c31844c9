"""From Ultralytics weights to a verified ONNX file; needs torch."""
