"""From a source to the input tensor: frames, decoding, orientation, resampling, preprocessing."""
