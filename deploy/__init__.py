"""Ways to run the project: container image, Kubernetes, and real servers on one machine without containers."""
