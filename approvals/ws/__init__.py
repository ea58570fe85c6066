"""The WebSocket door: hints to open pages."""
