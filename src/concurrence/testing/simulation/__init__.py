"""A swarm in virtual time: the code that decides in production, under one seed, in one thread.

Begin at :mod:`concurrence.testing.simulation.api`.
"""
