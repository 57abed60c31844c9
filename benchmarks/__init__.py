"""Measurements that a user can make again; the public API only."""
