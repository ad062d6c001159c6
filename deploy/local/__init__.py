"""Real servers on one machine without containers: installed from package registries, started on loopback.

A server is an object with `install`, `start`, `stop` and an address. `start` returns once the server has answered its
own client, not merely opened a port. Nothing here knows what will run on the servers.
"""
