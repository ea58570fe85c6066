"""Thin: parse, call one function, print."""
