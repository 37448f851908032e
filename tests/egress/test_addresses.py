"""Ways into the house that look like ways out, and addresses that nobody should call."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from ebbtide.egress.addresses import Reach, read_networks, resolve
from ebbtide.egress.errors import EgressFailed
from ebbtide.egress.http import read_url
from ebbtide.egress.mail import read_mail_server

INSIDE = """
127.0.0.1 127.9.9.9 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 169.254.169.254
100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.8 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1
224.0.0.1 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::
2001::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 2001:db8::1 100::1
""".split()
OUTSIDE = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("text", INSIDE)
def test_what_lies_inside_is_closed(text: str) -> None:
    assert not Reach().allows(ip_address(text))


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_lies_outside_is_open_and_nobodys_own(text: str) -> None:
    assert Reach().allows(ip_address(text)) and not Reach().is_own(ip_address(text))


def test_a_setting_opens_networks_but_never_those_that_hand_out_credentials() -> None:
    everything = Reach(read_networks("0.0.0.0/0, ::/0"))
    assert everything.allows(ip_address("10.0.0.1")) and everything.allows(ip_address("::1"))
    for text in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"):
        assert not everything.allows(ip_address(text))
    assert Reach(read_networks("10.1.0.0/16")).is_own(ip_address("10.1.2.3"))
    assert not Reach(read_networks("10.1.0.0/16")).allows(ip_address("10.2.0.1"))
    with pytest.raises(ValueError):
        read_networks("10.1.2.3/16")


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost"])
def test_other_spellings_of_loopback_are_closed(host: str) -> None:
    with pytest.raises(EgressFailed, match="blocked_address"):
        resolve(host, 80, Reach())


def test_a_name_with_one_closed_address_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: Any, **__: Any) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("8.8.8.8", 80)), (*kind, ("10.0.0.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(EgressFailed, match="blocked_address"):
        resolve("rebinding.example", 80, Reach())


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://a.example/",
        "ftp://a.example/",
        "javascript:alert(1)",
        "https://user@a.example/",
        "https://user:pass@a.example/",
        "https://a.example\\@b.example/",
        "https://a.example%2f@b.example/",
        "https://a%40b.example/",
        "https://a.example/\r\nX-Header: 1",
        "https://a.example/ b",
        "https://a.example/#fragment",
        "https://a.example:22/",
        "https://a.example:6379/",
        "https://a.example:99999/",
        "https://[::1/",
        "https:///path",
        "https://" + "a" * 3000,
        "https://bücher.example/",
    ],
)
def test_an_address_with_a_trick_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        read_url(url)


def test_a_plain_address_is_taken_apart() -> None:
    target = read_url("https://Hooks.Example:8443/a/b?c=d")
    assert (target.host, target.port, target.path) == ("hooks.example", 8443, "/a/b?c=d")
    assert read_url("http://[::1]").host == "::1"


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example",
        "smtp://",
        "smtp://mail.example/path",
        "smtp://user:pass@mail.example?tls=off",
        "smtps://mail.example?tls=off",
        "smtp://mail.example?tls=maybe",
        "smtp://mail.example:mail",
    ],
)
def test_a_mail_server_without_tls_and_with_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        read_mail_server(url)


def test_a_mail_server_is_read_and_its_password_not_shown() -> None:
    server = read_mail_server("smtps://user%40a:p%3Aw@mail.example")
    assert (server.port, server.user, server.password) == (465, "user@a", "p:w")
    assert "p:w" not in repr(server)
