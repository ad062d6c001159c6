"""The workers that `bench.runtime` measures, each a process of its own."""
