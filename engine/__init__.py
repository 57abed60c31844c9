"""From a source of images to `Results`: decoding, preprocessing, inference, results."""
