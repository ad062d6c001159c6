"""The right data in the right place: pure functions from what happened to the writes that follow from it."""
