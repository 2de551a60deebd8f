"""The nodes: master, slave and application, their poll loop, and the processes they start."""
