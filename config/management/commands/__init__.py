"""One module a command; each parses its arguments and calls one function elsewhere."""
