"""Fetching the address that a request names, from the public internet only."""
