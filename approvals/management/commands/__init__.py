"""One module a command; each parses its arguments, calls one verb and prints what came of it."""
