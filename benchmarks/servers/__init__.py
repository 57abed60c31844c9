"""Servers under test of `serve`: how they are started and loaded, and a script for each other server."""
