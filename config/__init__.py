"""Wiring only: settings, entry points, how parts become processes. Nothing else imports it."""
