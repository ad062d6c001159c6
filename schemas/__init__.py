"""What travels: events, changes, writes, receipts and the topics that carry them.

This package imports nothing else of the project, so that a producer can depend on it alone.
"""
