"""Reads templates as a translator's tools do: what is marked, what is not; makes catalogues."""

import ast
import re
import struct
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

from django.utils.translation.template import templatize

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "templates"

# What is the same in every language: our name, the zone of the trail, how keys of agents begin;
# attributes that a partial writes, and the block that is a class.
LITERALS = re.compile(r"Countersign|UTC|\bcs_|\bhx-\w+=\"[^\"]*\"")
_CLASSES = re.compile(r"\{% block body_class %\}.*?\{% endblock %\}")
CODE = {"code", "kbd", "pre", "script", "style"}  # what a machine reads is not translated
READ = {"alt", "aria-label", "placeholder", "title", "data-title", "data-says"}

_COMMENT = re.compile(r"\{#.*?#\}")
_MARKED = re.compile(r"\{% blocktranslate.*?%\}.*?\{% endblocktranslate %\}", re.DOTALL)
_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
_MARKED_IN_TAG = re.compile(r"_\(\"[^\"]*\"\)|\{% translate .*?%\}")
_LITERAL = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_PROSE = re.compile(r"^[^\W\d_]+ [^\W\d_]|^[A-Z][a-z]")
_STRING = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
_MESSAGE = re.compile(rf"\b(n?p?gettext|_)\(((?:[^()'\"]|{_STRING})*)\)")


class _Reader(HTMLParser):
    """Gathers text nodes and the attributes that people read or hear."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in READ and value]
        if tag in CODE:
            self._inside.append(tag)
        elif tag == "template":  # what scripts show
            self.found += [value for name, value in attrs if name.startswith("data-") and value]

    def handle_endtag(self, tag: str) -> None:
        if self._inside[-1:] == [tag]:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.found.append(data)


def unmarked(template: str) -> list[str]:
    """Return the words of a template that stand in no translation tag."""
    source = _MARKED.sub("", _CLASSES.sub("", _COMMENT.sub("", template)))
    reader = _Reader()
    reader.feed(_TAG.sub("", source))
    texts = [LITERALS.sub("", text) for text in reader.found]
    words = [text.strip() for text in texts if re.search(r"[^\W\d_]", text)]
    for tag in _TAG.findall(source):
        literals = (a or b for a, b in _LITERAL.findall(_MARKED_IN_TAG.sub("", tag)))
        words += [tag for literal in literals if _PROSE.search(literal)]
        words += [tag] if "|pluralize" in tag else []
    return words


def messages() -> dict[str, str | None]:
    """Return every marked message of the templates, as `makemessages` finds it, and its plural."""
    found: dict[str, str | None] = {}
    for path in sorted(TEMPLATES.rglob("*.*")):
        for function, arguments in _MESSAGE.findall(templatize(path.read_text(), origin=str(path))):
            parts = [str(ast.literal_eval(string)) for string in re.findall(_STRING, arguments)]
            context = parts.pop(0) + "\x04" if "p" in function.removesuffix("gettext") else ""
            one, many = context + parts[0], parts[1] if len(parts) > 1 else None
            if many and found.get(one, many) != many:
                raise ValueError(f"{one!r} has two plurals, and a catalogue has room for one.")
            found[one] = many or found.get(one)
    return found


def compiled(catalogue: dict[str, str]) -> bytes:
    """Return a catalogue as GNU msgfmt writes it; the forms of a plural are split by NUL."""
    keys = sorted(catalogue)
    ids, texts = [key.encode() for key in keys], [catalogue[key].encode() for key in keys]
    header = 7 * 4
    place = header + 16 * len(keys)
    tables: list[int] = []
    for strings in (ids, texts):
        for string in strings:
            tables += [len(string), place]
            place += len(string) + 1
    start = struct.pack("<7I", 0x950412DE, 0, len(keys), header, header + 8 * len(keys), 0, 0)
    data = b"".join(string + b"\0" for strings in (ids, texts) for string in strings)
    return start + struct.pack(f"<{len(tables)}I", *tables) + data


def write_catalogue(
    folder: Path, language: str, plurals: str, marked: Mapping[str, str | None] | None = None
) -> None:
    """Write a language in which each marked message, of templates if not said, stands in brackets.

    `plurals` is gettext's own way to tell how many forms there are and which a number takes; the
    second form has a prime behind it, the third two.
    """
    header = f"Content-Type: text/plain; charset=UTF-8\nPlural-Forms: {plurals}\n"
    count = int(plurals.split(";", maxsplit=1)[0].removeprefix("nplurals="))
    catalogue = {"": header}
    for one, many in (messages() if marked is None else marked).items():
        texts = [one.split("\x04")[-1]] + ([many] * (count - 1) if many else [])
        key = one + (f"\0{many}" if many else "")
        catalogue[key] = "\0".join(f"⟦{text}⟧" + "′" * form for form, text in enumerate(texts))
    path = folder / language / "LC_MESSAGES" / "django.mo"
    path.parent.mkdir(parents=True)
    path.write_bytes(compiled(catalogue))
