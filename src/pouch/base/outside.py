"""Which addresses of the outside may be reached when somebody else names the host.

A name is looked up once, and the address that was found is the one that is used: a second look-up could answer
something else. Every address that is not public is refused, so that nobody reaches this machine, its neighbours or a
cloud's metadata through us.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from pouch.base.errors import InvalidInput

LOOKUP_TIMEOUT_S = 10
_EMBEDS_V4 = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"))
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")

Lookup = Callable[[str, int], Awaitable[list[str]]]


class NotPublic(InvalidInput):
    """The host is not on the public Internet, or there is none of that name."""

    code = "host_not_public"


async def public_address(
    host: str, port: int, *, private_hosts: Collection[str] = (), lookup: Lookup | None = None
) -> str:
    """The one address to connect to. Raises NotPublic when the name has none, or any that is not public.

    `private_hosts` are names that the operator lets be private.
    """
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            found = await (lookup or look_up)(host, port)
    except (OSError, UnicodeError, TimeoutError):
        raise NotPublic(f"There is no host {host[:253]}.") from None
    if not found:
        raise NotPublic(f"There is no host {host[:253]}.")
    if host.lower() not in private_hosts and not all(is_public(each) for each in found):
        raise NotPublic(f"{host[:253]} is not on the public Internet.")
    return found[0]


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet, whatever way it is written."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if parsed in _NAT64_LOCAL:
            return False
        if parsed.sixtofour is not None:
            parsed = parsed.sixtofour
        elif parsed.teredo is not None:
            return False
        elif any(parsed in network for network in _EMBEDS_V4):
            parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


async def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
