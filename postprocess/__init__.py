"""From the output arrays of a model to detections, in numpy. Imports no other package of yolean."""
