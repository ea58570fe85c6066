"""Pure: sentences of ours that a page may show in another language; anybody may make them.

A phrase *is* its English text, and that is what agents, REST, the trail and logs are given. A page
asks `translating.translated` for the same in its reader's language. What the text was made of is
kept for that: a message with named places, and the values to put there.

The first argument of `phrase`, and the first two of `phrases`, are literals: `manage.py
makemessages` finds them by these names.
"""

from collections.abc import Callable, Iterable, Mapping

Gettext = Callable[[str], str]
Ngettext = Callable[[str, str, int], str]


class Phrase(str):
    """A text in English that knows how to be said in another language."""

    msgid: str = ""  # empty: the text is itself the message
    plural: str = ""
    number: int = 0  # that chooses between the two
    values: Mapping[str, object] = {}
    parts: tuple[str, ...] = ()  # of several phrases in one
    between: str = ""

    def told(self, gettext: Gettext, ngettext: Ngettext) -> str:
        """Return it as these functions say it; a value that is a phrase is said by them too."""
        if self.parts:
            return self.between.join(str(told(each, gettext, ngettext)) for each in self.parts)
        said = self.message(gettext, ngettext)
        if not self.values:
            return said
        return said % {name: told(each, gettext, ngettext) for name, each in self.values.items()}

    def filled(self, **values: object) -> "Phrase":
        """Return the same message with values in its places."""
        made = Phrase(self.msgid % values)
        made.msgid, made.values = self.msgid, values
        return made

    def message(self, gettext: Gettext, ngettext: Ngettext) -> str:
        """Return what these functions say, with its places as they are named."""
        msgid = self.msgid or str(self)
        return ngettext(msgid, self.plural, self.number) if self.plural else gettext(msgid)


class Word(str):
    """A value that pages write as a word of the sentence, such as the name of an argument."""


class Code(str):
    """A value that a machine reads, such as the CEL of a condition."""


def phrase(message: str, /, **values: object) -> Phrase:
    """Return a message with its values in place: `phrase("Held by %(rule)s", rule=name)`."""
    made = Phrase(message % values if values else message)
    made.msgid, made.values = message, values
    return made


def phrases(one: str, many: str, number: int, /, **values: object) -> Phrase:
    """Return the first message for one thing and the second for any other number of them."""
    message = one if number == 1 else many
    made = Phrase(message % values if values else message)
    made.msgid, made.plural, made.number, made.values = one, many, number, values
    return made


def joined(between: str, parts: Iterable[str]) -> Phrase:
    """Return several texts as one; those that are phrases stay so."""
    parts = tuple(parts)
    made = Phrase(between.join(parts))
    made.parts, made.between = parts, between
    return made


def told(value: object, gettext: Gettext, ngettext: Ngettext) -> object:
    """Return a phrase as these functions say it, and anything else as it is."""
    return value.told(gettext, ngettext) if isinstance(value, Phrase) else value
