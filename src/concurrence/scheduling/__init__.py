"""Scheduling: the ledger of tasks, the registry of nodes, and the policies that bring the two together. Pure."""
