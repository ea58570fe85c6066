"""`{% component %}`: draws a small template once for each set of values, and keeps what it drew.

A page of the queue has hundreds of small parts, and most of them were drawn a moment ago.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django import template
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.template import Context
from django.template.base import FilterExpression, Node, Parser, Token, token_kwargs
from django.template.loader import get_template
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import get_language

register = template.Library()

_MOST_KEPT = 4096  # of about half a kilobyte each
# What a value may be. A row of a table may not: it stays equal to itself when it changes.
_PLAIN = (str, SafeString, int, bool, type(None))


class ComponentNode(Node):
    """Draws a template from the values it is given; it sees nothing else of the page."""

    def __init__(self, name: str, values: Mapping[str, FilterExpression]) -> None:
        self._name, self._names, self._values = name, tuple(values), tuple(values.values())

    def render(self, context: Context) -> str:
        """Return what the component draws, safe as any template's text is."""
        values = tuple(_plain(one.resolve(context)) for one in self._values)
        # Types too: markup that is safe equals text that is not, and yes equals 1.
        types = tuple(map(type, values))
        return _drawn(self._name, get_language(), self._names, types, values)


@register.tag
def component(parser: Parser, token: Token) -> ComponentNode:
    """Draw a component: `{% component "approvals/_domain.html" name=call.domain.name %}`.

    Its template may use these values only, each a text, a number, a yes or no, or a tuple of
    texts; and nothing that passes, such as the time or the time zone.
    """
    _, quoted, *bits = token.split_contents()
    values = token_kwargs(bits, parser)
    if bits or quoted[0] not in "\"'" or quoted[-1] != quoted[0]:
        raise template.TemplateSyntaxError('Write {% component "name.html" key=value … %}.')
    return ComponentNode(quoted[1:-1], values)


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN or (type(value) is tuple and all(type(one) is str for one in value)):
        return value
    if isinstance(value, str | Promise):
        return str(value)
    raise TypeError(f"A component is drawn from plain values, not from {type(value)}.")


@lru_cache(maxsize=_MOST_KEPT)
def _drawn(
    name: str,
    language: str | None,
    names: tuple[str, ...],
    types: tuple[type, ...],
    values: tuple[Any, ...],
) -> str:
    drawn = get_template(name).template  # type: ignore[attr-defined]  # of Django's own engine
    return str(drawn.render(Context(dict(zip(names, values, strict=True)))))


@receiver(setting_changed)
def _forget(**_: object) -> None:
    """Forget what was drawn under other settings; only tests change them."""
    _drawn.cache_clear()
