"""How fast the runtime is, beside its peers; `python -m bench.runtime`."""
