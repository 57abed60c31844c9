"""Systems under test of `peers`: a module each, that runs in a process of its own."""
