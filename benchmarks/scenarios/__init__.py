"""What is measured: a module a scenario, each a command of `python -m yolean.benchmarks`."""
