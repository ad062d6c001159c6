"""Faust with batches: an agent receives a partition's run of records at once, and commits only what it finished.

docs/runtime.md says how it works and what each module does; begin with `app.StreamApp`. Nothing here knows of the rest
of the project but how brokers are reached and what the headers of a dead letter are called.
"""
