"""Images in: sources, decoding, orientation, resizing and the model's input tensor."""
