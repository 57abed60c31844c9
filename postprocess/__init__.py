"""From the model's output arrays to detections, in numpy. Imports nothing else of yolean."""
