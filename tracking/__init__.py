"""Objects over time: boxes of consecutive frames get ids. Arrays to arrays, as postprocessing is."""
