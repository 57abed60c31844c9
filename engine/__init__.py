"""From an image to `Results`: model file, session, preprocessing, pipeline."""
