"""Two models compared: predictions, matching of objects, agreement and time."""
