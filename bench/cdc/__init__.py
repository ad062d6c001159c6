"""How fast the source of Postgres changes is, beside Debezium; `python -m bench.cdc`."""
