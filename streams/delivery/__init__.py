"""From the writes topics into the stores: batching, retries, the circuit breaker, dead letters, receipts.

The same for every store; what a store can do is behind `connectors.sinks.contract`.
"""
