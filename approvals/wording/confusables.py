"""Pure: what a text looks like, whatever it is made of; only `unusual` calls it.

Two texts with one skeleton can be taken for each other. The table is ours and small: letters of
Cyrillic, Greek, Armenian and a few others that most fonts draw like Latin ones, and signs of ASCII
that are taken for each other. Full-width, styled and ligated letters go through NFKC.
Source of the method: Unicode Technical Standard 39, section 4.
"""

import unicodedata

from approvals.wording.hostile import is_hidden

# Each letter with what is drawn like it. Capital I, one and bar all look like a small L.
_ALIKE = {
    "a": "аɑα", "b": "ЬƄ", "c": "сϲᴄ", "d": "ԁ", "e": "еҽ℮", "f": "ẝ", "g": "ɡց", "h": "һհ",
    "i": "іıɩιӏ", "j": "јϳ", "k": "κкᴋ", "l": "I1|ǀΙІⵏ", "m": "мᴍ", "n": "ոпη", "o": "0оοօσ",
    "p": "рρ", "q": "ԛգ", "r": "гᴦ", "s": "ѕꜱ", "t": "тτ", "u": "υսᴜ", "v": "ѵνᴠ", "w": "ԝѡωᴡ",
    "x": "хχ×", "y": "уγүʏ", "z": "ᴢ",
    "A": "АΑᎪ", "B": "ВΒᏴ", "C": "СϹᏟ", "D": "Ꭰ", "E": "ЕΕᎬ", "G": "ԌᏀ", "H": "НΗᎻ", "J": "ЈᎫ",
    "K": "КΚᏦ", "L": "Ꮮ", "M": "МΜᎷ", "N": "Ν", "O": "ОΟՕ", "P": "РΡᏢ", "S": "ЅՏᏚ", "T": "ТΤᎢ",
    "V": "Ꮩ", "W": "ᎳԜ", "X": "ХΧ", "Y": "ҮΥ", "Z": "ΖᏃ",
    "-": "‐‒–—―−ー", "_": "ˍ", "/": "∕⁄⧸", "\\": "∖⧵", ":": "꞉∶ː", "'": "’‘ʼ`´", '"': "“”",
}  # fmt: skip
_TABLE = str.maketrans({sign: letter for letter, signs in _ALIKE.items() for sign in signs})
# Pairs that run together; after them nothing is left that could make another.
_PAIRS = (("rn", "m"), ("vv", "w"))


def skeleton(text: str) -> str:
    """Return what text looks like: two different texts with the same one are look-alikes."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if not is_hidden(c))
    plain = unicodedata.normalize("NFC", seen.translate(_TABLE)).casefold()
    for pair, letter in _PAIRS:
        plain = plain.replace(pair, letter)
    return plain.strip()
