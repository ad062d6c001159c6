"""Erase a person from everything that the plane has written. Decisions: `hold`, `machine`, `deletes`, `certificate`."""
