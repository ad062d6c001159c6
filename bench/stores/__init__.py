"""The delivery of one store, under load: a real topic, a worker, a real server, and what has to be in it in the end."""
