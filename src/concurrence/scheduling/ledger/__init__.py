"""The ledger: which task is in which state, whose it is, and which attempt counts. Pure."""
