"""The version of yolean, and nothing else: every module may import it."""

__version__ = "0.1.0"
