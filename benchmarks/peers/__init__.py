"""Servers that are measured beside yolean's; each file is a program for an environment of its own."""
