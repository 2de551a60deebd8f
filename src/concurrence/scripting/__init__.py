"""The swarm as an object: for scripts, notebooks and tests, the one place where anybody waits for results."""
