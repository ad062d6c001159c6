"""Tables rebuilt from their topics equal those in Postgres, whatever is killed: `python -m bench.cdc.convergence`."""
