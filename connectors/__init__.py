"""Everything that touches the outside: producers, change capture, embedders and sinks.

Imports `schemas` and nothing else of the project.
"""
