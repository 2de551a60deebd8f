"""Writes docs/reference: the pages that say all there is, made from the code itself, so that they cannot rot."""
