"""Places within the arguments of a call, as conditions name them."""

from typing import Final, TypeAlias


class _Each:
    """Stands in a path for every item of a list."""


EACH: Final = _Each()
Path: TypeAlias = tuple[str | int | _Each, ...]  # within the arguments; () is all of them


def in_words(path: Path) -> str:
    """Return a path as conditions write it: `args.items[*].price`."""
    words = "args"
    for key in path:
        if isinstance(key, _Each):
            words += "[*]"
        elif isinstance(key, int):
            words += f"[{key}]"
        else:
            words += f".{key}" if key.isidentifier() else f'["{key}"]'
    return words
