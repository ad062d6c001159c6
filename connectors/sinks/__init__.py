"""Stores: the contract they share, and a folder for each."""
