"""Concurrent distributes the logic of whole applications onto a swarm of machines."""

__version__ = "0.1.0"
