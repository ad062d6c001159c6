"""The embedded stores: one SQLite file each, written and read by different processes at the same time."""
