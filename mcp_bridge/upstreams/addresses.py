"""Which network addresses may be connected to: public ones, and what an operator listed.

A name is resolved once, every address is checked, and what was checked is what is connected to.
Whoever sends HTTP to addresses that others may influence uses this.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(Exception):
    """This address may not be connected to; the message says why."""


class Addresses:
    """What the hosts of one HTTP client resolve to; each is looked up once."""

    def __init__(self, listed: Collection[str]) -> None:
        """Trust what an operator listed.

        Args:
            listed: hosts, as names or addresses, that may lie in private networks.
        """
        self._listed = frozenset(host.lower() for host in listed)
        self._known: dict[tuple[str, int], list[str]] = {}

    async def of(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, in the order they are to be tried.

        Raises:
            Forbidden: one of them may not be connected to. OSError: the name is not known.
        """
        key = (host, port)
        if key not in self._known:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
            for address in addresses:
                self._check(host, address)
            self._known[key] = addresses
        return self._known[key]

    def prefer(self, host: str, port: int, address: str) -> None:
        """Try this address first from now on: it answered."""
        known = self._known[(host, port)]
        known.sort(key=lambda other: other != address)

    def _check(self, host: str, text: str) -> None:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        if is_public(address):
            return
        if host.lower() not in self._listed:
            raise Forbidden(f"{host} is {address}, a private address that no operator listed")
        if not _is_address(host) and not _is_of_a_server(address):
            # Whoever controls a name must not be able to point it at a cloud's metadata service;
            # an operator who means such an address writes it out.
            raise Forbidden(f"{host} is {address}, which a name may not stand for")


def is_public(address: Address) -> bool:
    """Return whether an address belongs to a host on the internet."""
    return address.is_global and not address.is_multicast


def _is_of_a_server(address: Address) -> bool:
    """Return whether somebody may run a server of their own there: loopback, private networks."""
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    is_reserved = address.version == 4 and address.is_reserved
    return not is_reserved and address != _METADATA


_METADATA = ipaddress.ip_address("fd00:ec2::254")  # not link-local, unlike 169.254.169.254
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _plain(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one, where it is only a way of writing it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
