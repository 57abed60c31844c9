"""Wire formats of prediction requests and responses, one module a dialect."""
