"""REST for people's scripts: session and CSRF only, the same checks and verbs as the pages."""
