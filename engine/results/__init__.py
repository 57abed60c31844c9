"""The results of one image: their views, drawing, and writing them to files."""
