"""Kafka itself: how to reach it, and the topics on it."""
