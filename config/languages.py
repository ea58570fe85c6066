"""Which languages pages are offered in: English, and those that somebody translated."""

from pathlib import Path

from django.conf.locale import LANG_INFO
from django.utils.translation import to_language


def offered(folder: Path) -> list[tuple[str, str]]:
    """Return English and every language with a compiled catalogue in `folder`, as code and name."""
    compiled = sorted(folder.glob("*/LC_MESSAGES/django.mo"))
    codes = [to_language(path.parent.parent.name) for path in compiled]
    return [("en", "English"), *((code, _name(code)) for code in codes if code != "en")]


def _name(code: str) -> str:
    """Return what people who speak it call it; its code where Django does not know."""
    return str(LANG_INFO.get(code, {}).get("name_local", code))
