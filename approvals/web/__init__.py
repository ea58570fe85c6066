"""The web pages: parse, check access, call one verb, render."""
