"""Tasks and task systems: what authors write, how it is packed, and how an owner keeps track of it."""
