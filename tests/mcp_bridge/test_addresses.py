"""Which addresses may be connected to: what is private needs an operator's word."""

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from mcp_bridge.upstreams.addresses import Addresses, Forbidden


def addresses_of(host: str, *, listed: Iterable[str] = (), is_called: Sequence[str] = ()):
    """Return what a host resolves to; a name is given these addresses instead of being asked."""

    async def look_up() -> list[str]:
        if is_called:
            found = [(0, 0, 0, "", (address, 443)) for address in is_called]

            async def getaddrinfo(*_: object, **__: object) -> object:
                return found

            # The world outside: what a name server says.
            asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[assignment,method-assign]
        return await Addresses(set(listed)).of(host, 443)

    return asyncio.run(look_up())


PUBLIC = ("8.8.8.8", "2001:4860:4860::8888")
PRIVATE = ("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "100.64.0.1", "::1", "fd00::1")
NOBODYS = (
    "169.254.169.254", "fe80::1", "fd00:ec2::254", "0.0.0.0", "::", "224.0.0.1", "240.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_needs_nobodys_word(address: str):
    assert addresses_of(address) == [address]
    assert addresses_of("example.org", is_called=[address]) == [address]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_needs_to_be_listed_by_its_host(address: str):
    with pytest.raises(Forbidden, match="no operator listed"):
        addresses_of("inside.example", is_called=[address])
    with pytest.raises(Forbidden, match="no operator listed"):
        addresses_of(address, listed={"another.example"})

    assert addresses_of("inside.example", is_called=[address], listed={"Inside.Example"})
    assert addresses_of(address, listed={address}) == [address]


@pytest.mark.parametrize("address", NOBODYS)
def test_no_name_may_stand_for_an_address_that_is_no_servers(address: str):
    with pytest.raises(Forbidden):
        addresses_of("inside.example", is_called=[address], listed={"inside.example"})
    # An operator who means it writes it out.
    assert addresses_of(address, listed={address}) == [address]


@pytest.mark.parametrize(
    "address", ["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::ffff:127.0.0.1"]
)
def test_an_address_in_other_clothes_is_the_same_address(address: str):
    with pytest.raises(Forbidden, match=r"10\.0\.0\.1|127\.0\.0\.1"):
        addresses_of("example.org", is_called=[address])


def test_one_forbidden_address_among_good_ones_forbids_the_name():
    with pytest.raises(Forbidden):
        addresses_of("example.org", is_called=["8.8.8.8", "127.0.0.1"])


def test_a_name_is_asked_once_so_what_was_checked_is_what_is_connected_to():
    asked = []

    async def look_up() -> None:
        async def getaddrinfo(*_: object, **__: object) -> object:
            asked.append(1)
            return [(0, 0, 0, "", ("8.8.8.8" if len(asked) == 1 else "127.0.0.1", 443))]

        asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[assignment,method-assign]
        addresses = Addresses(set())
        assert await addresses.of("example.org", 443) == ["8.8.8.8"]
        assert await addresses.of("example.org", 443) == ["8.8.8.8"]

    asyncio.run(look_up())


def test_the_address_that_answered_is_tried_first_the_next_time():
    async def look_up() -> None:
        async def getaddrinfo(*_: object, **__: object) -> object:
            return [(0, 0, 0, "", (address, 443)) for address in ("8.8.8.8", "8.8.4.4", "8.8.8.8")]

        asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[assignment,method-assign]
        addresses = Addresses(set())
        assert await addresses.of("example.org", 443) == ["8.8.8.8", "8.8.4.4"]
        addresses.prefer("example.org", 443, "8.8.4.4")
        assert await addresses.of("example.org", 443) == ["8.8.4.4", "8.8.8.8"]

    asyncio.run(look_up())
