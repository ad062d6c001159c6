"""Faust with batches: an agent receives a partition's run of records at once, and commits only what it finished.

The parts, from the inside out: `offsets` (which offset may be committed), `transport` (runs instead of messages),
`publisher` (records out, through librdkafka), `tables` (state that knows which record last changed it), `agents`
(process, bisect, retry, dead-letter), `app` (a `faust.App` that has all of it).
"""
