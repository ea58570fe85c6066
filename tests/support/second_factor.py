"""An authenticator app and a security key: the codes one would show, and what the other leaves."""

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from approvals.models import Person


def code_for(secret: str) -> str:
    """Return what an app with this secret shows now."""
    counter = next(auth.yield_hotp_counters_from_time())
    return str(auth.format_hotp_value(auth.hotp_value(secret, counter)))


def key_of(person: Person) -> Authenticator:
    """Register a security key, as the browser's answer would have left it."""
    name = person.get_username().encode()
    public = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    credential = AttestedCredentialData.create(Aaguid.NONE, name, public)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT
    found = AuthenticatorData.create(b"\0" * 32, flags, 0, credential)
    seen = CollectedClientData.create("webauthn.create", b"asked", "http://localhost:8000")
    answer: dict[str, Any] = {
        "id": websafe_encode(name),
        "rawId": websafe_encode(name),
        "type": "public-key",
        "response": {
            "clientDataJSON": websafe_encode(seen),
            "attestationObject": websafe_encode(AttestationObject.create("none", found, {})),
        },
    }
    device: Authenticator = Authenticator.objects.create(
        user=person,
        type=Authenticator.Type.WEBAUTHN,
        data={"name": "Key", "credential": answer},
    )
    return device
