"""Reads Python as a translator's tools do: which messages are marked, which words are not."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# How many messages each takes, before anything else; `makemessages` knows these names.
MARKS = {
    "gettext": 1, "gettext_lazy": 1, "ngettext": 2, "ngettext_lazy": 2, "pgettext": 2,
    "pgettext_lazy": 2, "phrase": 1, "phrases": 2,
}  # fmt: skip
# Two words, with a value between them or none; a word between values or before one; or a word that
# begins like a sentence or a heading.
_PROSE = re.compile(
    r"[^\W\d_]{2,}[,;:.]? (\{\} )?[^\W\d_]{2,}"
    r"|\{\} [a-z]{2,} \{\}|^\{\} [a-z]{2,}$|^[A-Z][a-z]+[.:…]?$"
)
_MARKUP = re.compile(r"<[^>]*>")


def python_files(*places: str) -> list[Path]:
    """Return the Python files at these places of the project."""
    found = [ROOT / place for place in places]
    return sorted(path for one in found for path in ([one] if one.is_file() else one.rglob("*.py")))


def messages(paths: Iterable[Path]) -> dict[str, str | None]:
    """Return every marked message and its plural; one that is no literal is an error."""
    found: dict[str, str | None] = {}
    for path in set(paths) - {ROOT / "approvals/phrases.py"}:  # where the marks are made
        for call, number in _marks(ast.parse(path.read_text())):
            texts = [each.value for each in call.args[:number] if isinstance(each, ast.Constant)]
            if len(texts) < number or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{path}:{call.lineno}: a message is a literal")
            one, *many = map(str, texts)
            if call.func.id.startswith("pgettext"):  # type: ignore[attr-defined]  # see _marks
                one, many = f"{one}\x04{many[0]}", []
            found[one] = many[0] if many else found.get(one)
    return found


def unmarked(source: str) -> list[str]:
    """Return the literals that read like words of a person and stand in no mark."""
    tree = ast.parse(source)
    marked = {id(part) for call, number in _marks(tree) for one in call.args[:number]
              for part in ast.walk(one)}  # fmt: skip
    skipped = marked | set(_no_words(tree))
    words = (_text(node) for node in ast.walk(tree) if id(node) not in skipped)
    return [text for text in words if _PROSE.search(_MARKUP.sub("", text))]


def _text(node: ast.AST) -> str:
    """Return a literal; an f-string with {} for each of its values."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "{}" for part in node.values)
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return str(node.value) if isinstance(node, ast.Constant) and is_text else ""


def _marks(tree: ast.AST) -> Iterator[tuple[ast.Call, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
            yield node, MARKS[node.func.id]


def _no_words(tree: ast.AST) -> Iterator[int]:
    """Return the literals that are docstrings, names of types, or names that a module offers."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as text):
                yield id(text)
            case ast.JoinedStr(values=parts):  # the whole of it is looked at
                yield from (id(part) for part in parts if isinstance(part, ast.Constant))
            case ast.Assign(targets=[ast.Name(id="__all__")], value=names):
                yield from map(id, ast.walk(names))
            case ast.arg(annotation=kind) | ast.AnnAssign(annotation=kind) if kind:
                yield from map(id, ast.walk(kind))
            case ast.FunctionDef(returns=kind) if kind:
                yield from map(id, ast.walk(kind))
