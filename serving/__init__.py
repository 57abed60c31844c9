"""The HTTP server: requests in, the answers of a model out."""
