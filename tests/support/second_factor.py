"""An authenticator app: the codes it would show."""

from allauth.mfa.totp.internal import auth


def code_for(secret: str) -> str:
    """Return what an app with this secret shows now."""
    counter = next(auth.yield_hotp_counters_from_time())
    return str(auth.format_hotp_value(auth.hotp_value(secret, counter)))
