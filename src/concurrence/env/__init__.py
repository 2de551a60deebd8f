"""The environment: a component manager with a folder on disk for config, plug-ins, keys and state."""
