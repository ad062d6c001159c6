"""Benchmarks: one module each, run as `python -m bench.<name>`; results lie in `bench/results/`."""
