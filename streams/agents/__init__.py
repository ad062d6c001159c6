"""The stages between topics, a file for each; every stage is a function of a batch."""
