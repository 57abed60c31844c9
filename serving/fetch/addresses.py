"""URLs, and the addresses that the server may connect to for them: those of the public internet.

A server that fetches any URL would read for its clients what only it can reach: its own machine, its network,
the cloud's metadata (server-side request forgery). So public addresses are allowed, and all others refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import quote, urljoin

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS = {"http": 80, "https": 443}

_MAX_URL = 2000  # characters
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^][]*\]|[^][:]*)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")  # what parsers drop, or read in two ways
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

# All of RFC 6890 and IANA's registry, also what `is_global` of `ipaddress` refuses: that differs between
# versions of Python, and knows nothing of clouds.
_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers; Alibaba's metadata is 100.100.100.200
        "127.0.0.0/8",  # this machine
        "168.63.129.16/32",  # Azure's host, inside every virtual machine, though the address looks public
        "169.254.0.0/16",  # link-local: the metadata of nearly every cloud
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata is 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112, answers for private addresses
        "192.52.193.0/24",  # multicast relays
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# The only part of IPv6 that is allocated. Outside it lie loopback, v4-compatible and -translated, NAT64,
# discard, segment routing, unique local (the metadata of AWS and Google), link-local, site-local, multicast.
_ALLOCATED_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo (an IPv4 address inside), ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the 6bone, given back
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart.

    Attributes:
        scheme: http or https.
        host: a name in lower case, or an address without brackets.
        port: 1 to 65535.
        path: with the query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Parse a URL by one strict grammar.

        Raises:
            ValueError: it does not match; the message says what was expected.
        """
        if len(url) > _MAX_URL:
            raise ValueError(f"expected at most {_MAX_URL} characters, found {len(url)}")
        match = _URL.fullmatch(url)
        if match is None or _FORBIDDEN.search(url):
            raise ValueError("expected http:// or https://, and no spaces, control characters or backslashes")
        scheme, authority, path = match[1].lower(), match[2], match[3]
        if "@" in authority:
            raise ValueError("expected no user name or password in it; use an address that needs none")
        parts = _AUTHORITY.fullmatch(authority)
        try:
            host = _host(parts[1] if parts else "")
        except ValueError:
            raise ValueError("expected the name of a host (in ASCII) or a whole IP address") from None
        port = int(parts[2]) if parts and parts[2] else PORTS[scheme]
        if not 0 < port < 65536:
            raise ValueError(f"expected a port from 1 to 65535, found {port}")
        path = quote(path if path.startswith("/") else f"/{path}", safe=_PRINTABLE)
        return cls(scheme, host, port, path)

    @property
    def authority(self) -> str:
        """The host as in a Host header: with brackets, and with the port if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def redirected(self, location: bytes) -> Target:
        """The target of a Location header in the answer to this one.

        Raises:
            ValueError: it names none.
        """
        text = location.decode()
        if _FORBIDDEN.search(text):  # before `urljoin`, which drops some of these
            raise ValueError("expected no spaces, control characters or backslashes")
        return self.parse(urljoin(f"{self.scheme}://{self.authority}{self.path}", text))


def _host(text: str) -> str:
    """The host of a URL without brackets: a name, or an address in its full form.

    Raises:
        ValueError: anything else: scope ids, escapes, letters outside ASCII, and what C libraries (127.1,
            0x7f.0.0.1, 2130706433) or browsers (any name whose last part is a number) take for an address.
    """
    if text.startswith("[") and text.endswith("]"):
        address = IPv6Address(text[1:-1])
        if _is_scoped(address):
            raise ValueError("an address with a scope id")
        return str(address)
    if _NAME.fullmatch(text) is None or len(text) > 253:
        raise ValueError("neither a name nor an address")
    return str(IPv4Address(text)) if _NUMBER.fullmatch(text.rpartition(".")[2]) else text.lower()


def canonical(address: Address) -> Address:
    """The address that a connection goes to: `::ffff:1.2.3.4` is 1.2.3.4."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    """Whether an address lies in one of the trusted networks.

    The address itself counts, not one embedded in it: a translator's 10.0.0.1 is not the 10.0.0.1 of this
    network. An address with a scope id (`fe80::1%eth0`) is never trusted.
    """
    address = canonical(address)
    return not _is_scoped(address) and any(address in network for network in trusted)


def is_allowed(address: Address, trusted: Sequence[Network] = ()) -> bool:
    """Whether the server may connect to an address: on the public internet, or in a trusted network."""
    address = canonical(address)
    if is_trusted(address, trusted):
        return True
    if isinstance(address, IPv6Address):
        if address in _NAT64 and not _is_scoped(address):
            return _is_public_v4(IPv4Address(int(address) & 0xFFFFFFFF))
        return _is_public_v6(address)
    return _is_public_v4(address)


def _is_public_v4(address: IPv4Address) -> bool:
    """Whether an IPv4 address is a public one."""
    return address.is_global and not any(address in network for network in _REFUSED_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    """Whether an IPv6 address is a public one."""
    # ISATAP puts an IPv4 address behind 0:5efe or 200:5efe, below any prefix
    is_isatap = (int(address) >> 32) & 0xFDFFFFFF == 0x5EFE
    return (
        address in _ALLOCATED_V6
        and address.is_global
        and not is_isatap
        and not _is_scoped(address)
        and not any(address in network for network in _REFUSED_V6)
    )


def _is_scoped(address: Address) -> bool:
    """Whether an address belongs to one network interface."""
    return isinstance(address, IPv6Address) and address.scope_id is not None
