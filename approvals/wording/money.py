"""Pure: an amount with its currency, exactly as given or not at all."""

import math
import re
from decimal import Decimal

# Beyond it nobody reads an amount any more; it also bounds the work.
MAX_AMOUNT = 10**15

# Source: ISO 4217, list one; after the decimal point most have two digits.
_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN"
    " BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP"
    " GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL"
    " MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK"
    " PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB"
    " TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DIGITS = {code: digits for digits, codes in _DIGITS.items() for code in codes.split()}
# Only signs that stand for one currency everywhere; all others are named by their code.
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
# A comma only where it groups thousands: "50,00" is fifty to some and five thousand to others.
_LONGEST = 400  # characters of a number that is typed
_LONGEST_AMOUNT = 25  # fewer than the digits that Decimal keeps
_NUMBER = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", re.ASCII)


def amount(value: object, currency: str, *, is_minor: bool) -> str | None:
    """Return "$420.00" for 42000 in minor units of USD; None when it cannot be said exactly.

    Args:
        value: a JSON number; anything else is no amount, text that looks like one included.
        currency: a code of ISO 4217, in capitals.
        is_minor: the value counts cents, fils … instead of dollars, dinars ….
    """
    digits = DIGITS.get(currency)
    number = None if digits is None else _exact(value)
    if digits is None or number is None:
        return None
    minor = number if is_minor else number.scaleb(digits)
    if minor != minor.to_integral_value():
        return None
    whole, rest = divmod(abs(int(minor)), 10**digits)
    shown = f"{whole:,}.{rest:0{digits}d}" if digits else f"{whole:,}"
    sign = "-" if minor < 0 else ""
    return f"{sign}{_SIGNS.get(currency, currency + ' ')}{shown}"


def typed(text: str, currency: str, *, is_minor: bool) -> int | float | None:
    """Return 42000 for "$420.00", "420" or "USD 420.00" in minor units of USD; None of no amount.

    What `amount` writes is read back. Digits beyond those of the currency are none of its amounts.
    """
    digits = DIGITS[currency]
    text = text.strip()
    for sign in (_SIGNS.get(currency, currency), currency):
        text = re.sub(rf"^(-?)({re.escape(sign)})\s*", r"\1", text)
    number = number_typed(text) if len(text) <= _LONGEST_AMOUNT else None
    if number is None or abs(number) > MAX_AMOUNT:
        return None
    minor = number.scaleb(digits)
    if minor != minor.to_integral_value():
        return None
    return int(minor) if is_minor else plain(number)


def number_typed(text: str) -> Decimal | None:
    """Return the number that somebody typed: 1250, 1,250 or -12.5; None of anything else."""
    text = text.strip()
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    return Decimal(text.replace(",", ""))


def plain(number: Decimal) -> int | float:
    """Return a number as JSON has it: without a point where there is nothing behind it."""
    return int(number) if number == number.to_integral_value() else float(number)


def _exact(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or abs(value) > MAX_AMOUNT:
        return None
    # As it is written in JSON: the shortest decimal that stands for the number.
    return Decimal(repr(value))
