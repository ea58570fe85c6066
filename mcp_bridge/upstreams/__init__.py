"""Towards upstream servers: their sessions, their lists, and the release of approved calls."""
