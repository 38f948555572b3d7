"""Which sites may connect: our own, the listed ones, and no other that looks like them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.origins import Origins
from changefeed.errors import ConfigurationError


@pytest.mark.parametrize("host", ["example.com", None])
def test_what_is_no_browser_sends_no_origin_and_is_allowed(host: str | None) -> None:
    assert Origins(()).allows(None, host)


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://app.example.com", "app.example.com", True),
        ("https://app.example.com", "app.example.com:443", True),
        ("https://app.example.com:443", "app.example.com", True),
        ("http://app.example.com", "app.example.com", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://APP.example.com", "app.Example.com", True),
        ("http://localhost:3000", "localhost:8000", False),
        ("http://localhost", "localhost:8000", False),
        ("http://localhost:8000", "localhost", False),
        ("http://app.example.com", "app.example.com:443", False),
        ("https://evil.com", "app.example.com", False),
        ("https://app.example.com.evil.com", "app.example.com", False),
        ("https://evil-app.example.com", "app.example.com", False),
        ("chrome-extension://app.example.com", "app.example.com", False),
        ("https://app.example.com", None, False),
        ("https://app.example.com", "", False),
        ("https://app.example.com", "app.example.com/", False),
    ],
)
def test_our_own_site_is_told_by_host_and_port(origin: str, host: str | None, same: bool) -> None:
    assert Origins(()).allows(origin, host) is same


@pytest.mark.parametrize(
    ("entry", "origin", "allowed"),
    [
        ("https://app.example.com", "https://app.example.com", True),
        ("https://app.example.com/", "https://app.example.com:443", True),
        ("https://APP.example.com", "https://app.EXAMPLE.com", True),
        ("https://app.example.com", "http://app.example.com", False),
        ("https://app.example.com", "https://app.example.com:8443", False),
        ("https://app.example.com", "https://app.example.com.evil.com", False),
        ("https://app.example.com", "https://appXexample.com", False),
        ("https://app.example.com", "https://app.example.com@evil.com", False),
        ("https://app.example.com", "https://app.example.com/path", False),
        ("https://app.example.com", "https://app.example.com ", False),
        ("https://app.example.com", "https://app.example.com\n", False),
        ("https://*.example.com", "https://app.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://evilexample.com", False),
        ("https://*.example.com", "https://app.example.com.evil.com", False),
        ("https://*.example.com", "http://app.example.com", False),
        ("https://*.example.com", "https://app.example.com:8443", False),
        ("https://*.example.com", "https://*.example.com", False),
        ("https://*.example.com:8443", "https://app.example.com:8443", True),
        ("http://localhost:3000", "http://localhost:3000", True),
        ("http://localhost:3000", "http://localhost:3001", False),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("*", "https://anything.example", True),
        ("*", "nonsense", False),
        ("*", "", False),
        ("*", "null", False),
        ("null", "null", True),
        ("https://app.example.com", "null", False),
    ],
)
def test_the_list_allows_what_it_names_and_nothing_beside_it(entry: str, origin: str, allowed: bool) -> None:
    assert Origins({entry}).allows(origin, "api.example.org") is allowed


@pytest.mark.parametrize(
    "entry",
    ["app.example.com", "https://", "https://a.com/path", "https://*", "*.example.com", "https://a*.example.com", ""],
)
def test_an_entry_that_is_no_origin_is_refused_with_an_example(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"https://app\.example\.com"):
        Origins({entry})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_no_header_raises_and_only_a_listed_or_our_own_site_passes(origin: str, host: str | None) -> None:
    if Origins({"https://app.example.com"}).allows(origin, host):
        assert host is not None
        assert origin.partition("://")[2].lower().startswith(host.lower().partition(":")[0])
