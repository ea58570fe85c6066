"""Bodies that cannot be read are the sender's fault, at addresses that there are not too."""

import pytest

from tests.support.visiting import visitor

_FORM = "application/x-www-form-urlencoded"
BODIES = {
    "no boundary": (b"x", "multipart/form-data"),
    "too many fields": ("&".join(f"a{n}=" for n in range(1_001)).encode(), _FORM),
    "too long": (b"a=" + b"x" * 3_000_000, _FORM),
    "no encoding": (b"a=1", f"{_FORM}; charset=none-such"),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("address", ["/nowhere/", "/api/v1/calls/x/", "/theme/"])
def test_a_body_that_cannot_be_read_is_no_error_of_ours(world, address, body):
    raw, kind = BODIES[body]
    client = visitor(world.bo, csrf=True)
    client.raise_request_exception = False
    client.get("/settings/")  # brings the cookie without which no token is looked for

    answer = client.generic("POST", address, raw, content_type=kind)

    is_there = address == "/theme/"
    wrong = 403 if body == "no encoding" else 400  # what has no token in it after all
    assert answer.status_code == (wrong if is_there else 404)
