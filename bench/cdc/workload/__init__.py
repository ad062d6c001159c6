"""Random changes of Postgres tables, the same for the same seed: for the differential and the convergence test."""
