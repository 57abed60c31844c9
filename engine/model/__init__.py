"""The metadata of a model file, and the specification and output layout that follow from it."""
