"""Sample applications on the public facade; each module is a plug-in of its own."""
