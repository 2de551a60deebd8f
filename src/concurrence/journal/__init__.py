"""The journal: what was accepted is kept before it is promised."""
