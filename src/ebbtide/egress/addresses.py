"""Which addresses may be spoken to from here: those of the public internet, and what is allowed.

Python's own ``is_private`` calls some ways into the house public, such as IPv4 addresses that are
wrapped into IPv6 ones, so the ranges are listed here.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from ebbtide.egress.errors import EgressFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Machines hand out their credentials there; no setting opens these.
_NEVER = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local: metadata of most clouds
        "fe80::/10",
        "fd00:ec2::/32",
        "100.100.100.200/32",
        "168.63.129.16/32",  # public by its number, and a cloud's inside all the same
        "0.0.0.0/8",
        "::/128",
        "224.0.0.0/4",
        "ff00::/8",
        "255.255.255.255/32",
    )
)
_CLOSED = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by a provider's customers
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "::/96",  # loopback, and IPv4 addresses written as if they were IPv6
        "64:ff9b::/96",  # translated into any IPv4 address
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",  # carries an IPv4 address
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fec0::/10",
    )
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What an errand may connect to beyond the public internet."""

    allowed: tuple[Network, ...] = ()

    def allows(self, address: Address) -> bool:
        """Whether this address may be spoken to."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if _is_in(address, _NEVER):
            return False
        if _is_in(address, self.allowed):
            return True
        return not _is_in(address, _CLOSED) and address.is_global

    def is_own(self, address: Address) -> bool:
        """Whether somebody allowed this address expressly: the line to it is their own."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return _is_in(address, self.allowed) and self.allows(address)


def read_networks(text: str) -> tuple[Network, ...]:
    """Networks with commas between them, such as ``10.1.0.0/16,127.0.0.1``.

    Raises:
        ValueError: one of them is none.
    """
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


def resolve(host: str, port: int, reach: Reach) -> Sequence[Address]:
    """The addresses of a host, all of which may be spoken to.

    Raises:
        EgressFailed: it has none (``dns``), or one that is closed (``blocked_address``): a name
            with one good and one bad address is a trick.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise EgressFailed("dns") from error
    # A scope such as %eth0 belongs to link-local addresses, which are closed with or without.
    addresses = list(dict.fromkeys(ip_address(str(one[4][0]).partition("%")[0]) for one in found))
    if not addresses:
        raise EgressFailed("dns")
    if not all(reach.allows(one) for one in addresses):
        raise EgressFailed("blocked_address")
    return addresses


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(one.version == address.version and address in one for one in networks)
