"""Measures anew what documents show of the output of commands: ``python -m tools.outputs``."""
