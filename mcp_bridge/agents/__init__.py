"""Towards agents: the door, the server behind it, and how a call is read, held and awaited."""
