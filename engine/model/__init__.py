"""What a model file says about itself: metadata, specification and output layout."""
