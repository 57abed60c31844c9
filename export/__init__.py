"""Making ONNX files; the only place that may import torch, ultralytics or onnx."""
