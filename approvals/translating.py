"""Says phrases in the language of whoever reads the page; for pages only.

What it returns is ordinary text with outsiders' values in it: templates escape it.
"""

from django.utils.translation import gettext, ngettext

from approvals import phrases


def translated(text: str) -> str:
    """Return a phrase in the language of the request, and any other text as it is."""
    return str(phrases.told(text, gettext, ngettext))
