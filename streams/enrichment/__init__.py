"""What is added to events: pure functions of a batch and of what is known, without clock and I/O."""
