"""Commands of whoever has a shell on the server; `base` is what they share."""
