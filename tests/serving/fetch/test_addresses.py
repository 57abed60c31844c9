"""What a URL may name: every way of writing an address inside is refused, ordinary ones are not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yolean.serving.fetch.addresses import Network, Target, canonical, is_allowed, is_trusted
from yolean.serving.fetch.fetcher import Fetcher, FetchError

# Addresses that are inside, by what they are.
INSIDE = {
    "loopback": "127.0.0.1",
    "loopback, another": "127.8.9.10",
    "this host": "0.0.0.0",
    "this network": "0.1.2.3",
    "private 10": "10.0.0.1",
    "private 172": "172.16.0.1",
    "private 172, its end": "172.31.255.255",
    "private 192": "192.168.1.1",
    "carrier's NAT": "100.64.0.1",
    "carrier's NAT, its end": "100.127.255.255",
    "link-local": "169.254.1.1",
    "metadata of AWS, Google, Azure": "169.254.169.254",
    "metadata of AWS's containers": "169.254.170.2",
    "metadata of Alibaba": "100.100.100.200",
    "metadata of Oracle": "192.0.0.192",
    "Azure's host": "168.63.129.16",
    "protocol assignments": "192.0.0.1",
    "protocol assignments, global for ipaddress": "192.0.0.9",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "benchmarks": "198.18.0.1",
    "benchmarks, its end": "198.19.255.255",
    "AS112": "192.175.48.1",
    "multicast": "224.0.0.1",
    "multicast, global for ipaddress": "234.5.6.7",
    "multicast, its end": "239.255.255.255",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6 loopback": "::1",
    "v6 this host": "::",
    "v4-mapped loopback": "::ffff:127.0.0.1",
    "v4-mapped metadata": "::ffff:169.254.169.254",
    "v4-mapped, in hexadecimal": "::ffff:7f00:1",
    "v4-mapped Azure": "::ffff:168.63.129.16",
    "v4-compatible loopback": "::127.0.0.1",
    "v4-compatible, though public": "::1.1.1.1",
    "v4-translated loopback": "::ffff:0:127.0.0.1",
    "NAT64 loopback": "64:ff9b::127.0.0.1",
    "NAT64 private": "64:ff9b::10.0.0.1",
    "NAT64 metadata": "64:ff9b::a9fe:a9fe",
    "NAT64 multicast": "64:ff9b::224.0.0.1",
    "NAT64 of one's own, though public": "64:ff9b:1::1.1.1.1",
    "NAT64, beyond its 96 bits": "64:ff9b::1:7f00:1",
    "6to4 loopback": "2002:7f00:1::",
    "6to4 metadata": "2002:a9fe:a9fe::1",
    "6to4, though public": "2002:101:101::1",
    "Teredo": "2001:0:53aa:64c:0:fbff:80ff:fffe",
    "ISATAP": "2606:4700::5efe:10.0.0.1",
    "ISATAP, public": "2606:4700::200:5efe:10.0.0.1",
    "link-local v6": "fe80::1",
    "site-local": "fec0::1",
    "unique local": "fc00::1",
    "metadata of AWS, v6": "fd00:ec2::254",
    "metadata of Google, v6": "fd20:ce::254",
    "multicast v6": "ff02::1",
    "multicast v6, global scope": "ff0e::1",
    "discard": "100::1",
    "documentation v6": "2001:db8::1",
    "documentation v6, new": "3fff::1",
    "benchmarks v6": "2001:2::1",
    "ORCHID": "2001:10::1",
    "ORCHID 2": "2001:20::1",
    "AS112 v6": "2620:4f:8000::1",
    "6bone": "3ffe::1",
    "segment routing": "5f00::1",
    "not given out": "4000::1",
}

# Ways of writing them, and other addresses that must not be followed.
FORMS = {
    "localhost": "http://localhost/",
    "localhost in capitals": "http://LOCALHOST/",
    "localhost with a dot": "http://localhost./",
    "localhost below": "http://a.localhost/",
    "localhost over TLS": "https://localhost/",
    "short": "http://127.1/",
    "shorter": "http://127.0.1/",
    "zero": "http://0/",
    "decimal": "http://2130706433/",
    "decimal metadata": "http://2852039166/",
    "octal": "http://0177.0.0.1/",
    "octal, one number": "http://017700000001/",
    "octal, padded": "http://0000177.0.0.01/",
    "leading zeros": "http://127.000.000.001/",
    "hexadecimal": "http://0x7f.0.0.1/",
    "hexadecimal, one number": "http://0x7f000001/",
    "hexadecimal in capitals": "http://0X7F000001/",
    "hexadecimal at the end": "http://127.0.0.0x1/",
    "hexadecimal nothing": "http://0x/",
    "mixed": "http://0251.0xfe.43518/",
    "overflow of one part": "http://127.0.0.257/",
    "overflow of one number": "http://6425673729/",
    "five parts": "http://127.0.0.0.1/",
    "trailing dot": "http://127.0.0.1./",
    "trailing dots": "http://127.0.0.1../",
    "full-width digits": "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "circled digits": "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
    "arabic digits": "http://\u0661\u0662\u0667.\u0660.\u0660.\u0661/",
    "ideographic full stops": "http://127\u30020\u30020\u30021/",
    "full-width localhost": "http://\uff4cocalhost/",
    "percent-encoding": "http://%31%32%37.0.0.1/",
    "percent-encoding of a dot": "http://127%2e0%2e0%2e1/",
    "percent-encoding twice": "http://%2531%2532%2537.0.0.1/",
    "soft hyphen": "http://local\u00adhost/",
    "zero width space": "http://127.0.0.1\u200b/",
    "v6 in full": "http://[0:0:0:0:0:0:0:1]/",
    "v6 with zeros": "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "v6 without brackets": "http://::1/",
    "v6, bracket open": "http://[::1/",
    "v6, bracket doubled": "http://[[::1]]/",
    "v6 and more": "http://[::1]example.com/",
    "v6 with a short v4": "http://[::ffff:127.1]/",
    "v6 with an octal v4": "http://[::ffff:0177.0.0.1]/",
    "v4 in brackets": "http://[127.0.0.1]/",
    "IPvFuture": "http://[v1.127]/",
    "zone id": "http://[fe80::1%eth0]/",
    "zone id, encoded": "http://[fe80::1%25eth0]/",
    "zone id on a public address": "http://[2606:4700::1111%25lo]/",
    "port of SSH": "http://1.1.1.1:22/",
    "port of a cache": "http://1.1.1.1:6379/",
    "port 8080": "http://1.1.1.1:8080/",
    "port 0": "http://1.1.1.1:0/",
    "port too large": "http://1.1.1.1:65616/",
    "port far too large": "http://1.1.1.1:4294967376/",
    "port empty": "http://1.1.1.1:/",
    "port signed": "http://1.1.1.1:+80/",
    "port in full-width digits": "http://1.1.1.1:\uff18\uff10/",
    "two ports": "http://1.1.1.1:80:80/",
    "user": "http://user@1.1.1.1/",
    "user and password": "http://user:password@1.1.1.1/",
    "user empty": "http://@127.0.0.1/",
    "a public name as user": "http://1.1.1.1@127.0.0.1/",
    "two at signs": "http://1.1.1.1@127.0.0.1@1.1.1.1/",
    "at sign behind a fragment": "http://127.0.0.1#@1.1.1.1/",
    "at sign behind a query": "http://127.0.0.1?@1.1.1.1/",
    "at sign, encoded": "http://127.0.0.1%401.1.1.1/",
    "backslash": "http://127.0.0.1\\@1.1.1.1/",
    "backslash, other side": "http://1.1.1.1\\@127.0.0.1/",
    "backslashes for slashes": "http:\\\\127.0.0.1/",
    "semicolon": "http://1.1.1.1;127.0.0.1/",
    "comma": "http://1.1.1.1,127.0.0.1/",
    "space": "http://1.1.1.1 127.0.0.1/",
    "space before": " http://127.0.0.1/",
    "tab inside": "http://127.0.\t0.1/",
    "line feed inside": "http://127.0.0.1\n.example.com/",
    "a second request": "http://1.1.1.1/ HTTP/1.1\r\nHost: x\r\n\r\nGET /",
    "null": "http://127.0.0.1\0.example.com/",
    "no host": "http:///etc/passwd",
    "one slash": "http:/127.0.0.1/",
    "no slash": "http:127.0.0.1",
    "three slashes": "http:///127.0.0.1/",
    "no scheme": "//127.0.0.1/",
    "name alone": "127.0.0.1",
    "empty": "",
    "file": "file:///etc/passwd",
    "file with a host": "file://localhost/etc/passwd",
    "ftp": "ftp://1.1.1.1/",
    "gopher": "gopher://1.1.1.1:80/_GET",
    "dict": "dict://1.1.1.1:80/",
    "ldap": "ldap://1.1.1.1:80/",
    "data": "data:image/png;base64,AAAA",
    "javascript": "javascript:0",
    "a scheme around it": "url:http://127.0.0.1/",
    "rtsp": "rtsp://1.1.1.1:80/",
    "long s in the scheme": "http\u017f://127.0.0.1/",
    "too long": "http://1.1.1.1/" + "a" * 2000,
    "name too long": "http://" + "a." * 127 + "com/",
    "part of a name too long": "http://" + "a" * 64 + ".com/",
    "part of a name empty": "http://a..com/",
    "lone surrogate": "http://\ud800.com/",
    "lone surrogate in the path": "http://1.1.1.1/\ud800",
}

# Those of them that are refused for where they lead, not for how they are written.
WELL_FORMED = (
    "http://localhost/",
    "http://LOCALHOST/",
    "http://a.localhost/",
    "https://localhost/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "http://1.1.1.1:22/",
    "http://1.1.1.1:6379/",
    "http://1.1.1.1:8080/",
    "http://127.0.0.1#@1.1.1.1/",
    "http://127.0.0.1?@1.1.1.1/",
)

# What a name may resolve to, none of which may be connected to.
ANSWERS = {
    "inside": ["127.0.0.1"],
    "public, then inside": ["1.1.1.1", "10.0.0.1"],
    "inside, then public": ["10.0.0.1", "1.1.1.1"],
    "inside the last of many": ["1.1.1.1"] * 9 + ["169.254.169.254"],
    "public v6, inside v4": ["2606:4700::1111", "192.168.0.1"],
    "public v4, v6 loopback": ["1.1.1.1", "::1"],
    "v4-mapped": ["::ffff:10.0.0.1"],
    "scope id": ["fe80::1%eth0"],
    "scope id on a public address": ["2606:4700::1111%eth0"],
    "scope id on NAT64": ["64:ff9b::101:101%eth0"],
    "scope id on v4-mapped": ["::ffff:10.0.0.1%eth0"],
    "nothing": [],
}

OUTSIDE = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "2001:200::1",
    "2a00:1450:4001:82b::200e",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "64:ff9b::8.8.8.8",
]

# The special-purpose networks of IANA's registry that are not of the open internet, and multicast.
SPECIAL = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "168.63.129.16/32",
]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections were asked for; none of them comes about."""
    asked: list[tuple[str, int]] = []

    async def connect(self: Any, host: str, port: int, **options: Any) -> httpcore.AsyncNetworkStream:
        asked.append((host, port))
        raise httpcore.ConnectError

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    return asked


async def c_library(host: str, port: int) -> Sequence[str]:
    """A resolver that takes every form of an address that the C library takes, and knows localhost."""
    if host.endswith("localhost"):
        return ["127.0.0.1"]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(entry[4][0]) for entry in found]


def literal(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


FETCHER = Fetcher(max_bytes=100, timeout=5, resolver=c_library)  # one: reading the certificates takes 50 ms


def attempt(url: str, fetcher: Fetcher = FETCHER) -> None:
    asyncio.run(fetcher.fetch(url))


def test_an_address_inside(connections: list[tuple[str, int]]) -> None:
    async def go() -> None:
        for what, address in INSIDE.items():
            assert not is_allowed(ip_address(address)), what
            with pytest.raises(FetchError):
                await FETCHER.fetch(literal(address))
            assert not connections, what

    asyncio.run(go())


def test_a_form_that_is_refused(connections: list[tuple[str, int]]) -> None:
    async def go() -> None:
        for what, url in FORMS.items():
            with pytest.raises(FetchError) as caught:
                await FETCHER.fetch(url)
            assert not connections, what
            assert "\n" not in str(caught.value)
            assert url == "" or url not in str(caught.value), what  # it is a stranger's text

    asyncio.run(go())


def test_a_form_that_no_resolver_gets_to_see() -> None:
    for url in FORMS.values():
        if url not in WELL_FORMED:
            with pytest.raises(ValueError, match=r"^expected "):
                Target.parse(url)


def test_a_refused_form_is_explained() -> None:
    for url, words in (
        ("http://a.com/" + "a" * 1988, "at most 2000 characters, found 2001"),
        ("ftp://a.com/", "http:// or https://"),
        ("http://user:password@a.com/", "no user name or password"),
        ("http://127.1/", "the name of a host"),
        ("http://a.com:65536/", "a port from 1 to 65535, found 65536"),
    ):
        with pytest.raises(ValueError, match=words):
            Target.parse(url)


def test_a_name_that_resolves_to_what_is_refused(connections: list[tuple[str, int]]) -> None:
    found: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        return found

    fetcher = Fetcher(max_bytes=100, timeout=5, resolver=resolver)
    for what, answers in ANSWERS.items():
        found[:] = answers
        with pytest.raises(FetchError):
            attempt("http://example.com/", fetcher)
        assert not connections, what


def test_an_address_of_the_open_internet(connections: list[tuple[str, int]]) -> None:
    for address in OUTSIDE:
        assert is_allowed(ip_address(address)), address
        with pytest.raises(FetchError):
            attempt(literal(address))
        assert connections.pop() == (str(canonical(ip_address(address))), 80)


def embeddings(address: IPv4Address) -> list[IPv6Address]:
    """Every IPv6 address that some machine or translator takes to the given address."""
    inner = int(address)
    return [
        IPv6Address(0xFFFF << 32 | inner),  # mapped
        IPv6Address(inner),  # compatible
        IPv6Address(0xFFFF << 48 | inner),  # translated
        IPv6Address(int(IPv6Address("64:ff9b::")) | inner),
        IPv6Address(int(IPv6Address("64:ff9b:1::")) | inner),
        IPv6Address(0x2002 << 112 | inner << 80 | 1),  # 6to4
        IPv6Address(0x20010000 << 96 | 0x01010101 << 64 | inner ^ 0xFFFFFFFF),  # Teredo
        IPv6Address(int(IPv6Address("2606:4700::5efe:0:0")) | inner),  # ISATAP
    ]


@given(st.sampled_from(SPECIAL).map(IPv4Network), st.integers(0, 2**32 - 1))
def test_nothing_of_a_special_network(network: IPv4Network, offset: int) -> None:
    address = network[offset % network.num_addresses]
    assert not is_allowed(address)
    assert not any(is_allowed(outer) for outer in embeddings(address))


def test_the_ends_of_a_special_network() -> None:
    for network in map(IPv4Network, SPECIAL):
        for address in (network[0], network[-1]):
            assert not is_allowed(address), address
            assert not any(is_allowed(outer) for outer in embeddings(address)), address


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_what_is_allowed_is_global_and_for_one(address: IPv4Address) -> None:
    if is_allowed(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.integers(0, 2**125 - 1).map(lambda n: IPv6Address(1 << 125 | n)) | st.ip_addresses(v=6))
def test_what_is_allowed_of_v6_is_global(address: IPv4Address | IPv6Address) -> None:
    assert isinstance(address, IPv6Address)
    if is_allowed(address) and address.ipv4_mapped is None and address not in IPv6Network("64:ff9b::/96"):
        assert address in IPv6Network("2000::/3")
        assert address.is_global
        assert address.sixtofour is None
        assert address.teredo is None


def networks(*texts: str) -> list[Network]:
    return [ip_network(text) for text in texts]


def test_trusted_networks() -> None:
    trusted = networks("10.1.0.0/16", "fd00:1::/32")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "1.1.1.1"):
        assert is_allowed(ip_address(address), trusted)
    for address in (
        "10.2.0.1",
        "fd00:2::5",
        "fd00:1::5%eth0",
        "127.0.0.1",
        "64:ff9b::10.1.2.3",
        "2002:a01:203::",
    ):
        assert not is_allowed(ip_address(address), trusted)
    assert not is_trusted(ip_address("1.1.1.1"), trusted)
    assert not is_trusted(ip_address("127.0.0.1"), [])
    assert is_allowed(ip_address("64:ff9b::10.1.2.3"), networks("64:ff9b::/96"))


def test_other_ports_only_where_it_is_trusted(connections: list[tuple[str, int]]) -> None:
    fetcher = Fetcher(max_bytes=100, timeout=5, trusted=networks("10.0.0.0/8"))
    for url in (
        "http://10.1.2.3:8080/",
        "http://1.1.1.1:8080/",
        "https://1.1.1.1:443/",
        "https://1.1.1.1:80/",
    ):
        with pytest.raises(FetchError):
            attempt(url, fetcher)
    assert connections == [("10.1.2.3", 8080), ("1.1.1.1", 443), ("1.1.1.1", 80)]


URLS: list[tuple[str, Target, str]] = [
    # URL, what it names, its authority
    ("http://a.com", Target("http", "a.com", 80, "/"), "a.com"),
    ("HTTPS://A.com/B?c=d#e", Target("https", "a.com", 443, "/B?c=d"), "a.com"),
    ("http://a.com?b", Target("http", "a.com", 80, "/?b"), "a.com"),
    ("http://a.com:443/", Target("http", "a.com", 443, "/"), "a.com:443"),
    (
        "https://[2606:4700::0:1111]:8443/",
        Target("https", "2606:4700::1111", 8443, "/"),
        "[2606:4700::1111]:8443",
    ),
    (
        "http://xn--e1afmkfd.com/a%20b",
        Target("http", "xn--e1afmkfd.com", 80, "/a%20b"),
        "xn--e1afmkfd.com",
    ),
    ("http://a-b_c.com/ü?ü", Target("http", "a-b_c.com", 80, "/%C3%BC?%C3%BC"), "a-b_c.com"),
    ("http://1.1.1.1.com/", Target("http", "1.1.1.1.com", 80, "/"), "1.1.1.1.com"),
    ("http://a.com//b/../c", Target("http", "a.com", 80, "//b/../c"), "a.com"),
]


def test_what_a_url_names() -> None:
    for url, target, authority in URLS:
        assert Target.parse(url) == target
        assert target.authority == authority


REDIRECTS: list[tuple[bytes, str]] = [
    (b"/c", "http://a.com:8080/c"),
    (b"c?d", "http://a.com:8080/b/c?d"),
    (b"?d", "http://a.com:8080/b/x?d"),
    (b"//b.com/c", "http://b.com/c"),
    (b"https://b.com", "https://b.com/"),
    ("/ü".encode(), "http://a.com:8080/%C3%BC"),
]


def test_where_a_redirect_leads() -> None:
    for location, expected in REDIRECTS:
        assert Target.parse("http://a.com:8080/b/x?y").redirected(location) == Target.parse(expected)


@given(st.text(max_size=30) | st.text("01279.:/@[]%#?\\abfx-", max_size=30))
def test_a_parsed_host_is_what_others_read_too(text: str) -> None:
    url = f"http://{text}"
    try:
        target = Target.parse(url)
    except ValueError:
        return
    other = urlsplit(url).hostname
    assert other is not None
    assert target.host.isascii()
    if ":" in other:
        assert IPv6Address(other) == IPv6Address(target.host)
    else:
        assert other == target.host
