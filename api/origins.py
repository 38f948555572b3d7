"""Which web sites may connect: a check of the Origin header, which no script in a browser can forge.

Allowed are: no header (that is no browser), the site that the service itself is on, and what the settings list. The
same site is told by host and port alone, because TLS may have ended at a proxy, which must hand on the Host header.
`null`, which a sandboxed frame or a file sends, is allowed only where it is listed by that name. Pure.
"""

import re
from collections.abc import Iterable

from changefeed.errors import ConfigurationError

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://((?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_HOST = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_PORTS = {"http": "80", "https": "443"}

Site = tuple[str, str, str]
"""Scheme, host, port."""


class Origins:
    """The sites that may connect."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """`allowed`: origins, `*`, `null`, `https://*.example.com`. Raises ConfigurationError for anything else."""
        entries = frozenset(entry.lower().removesuffix("/") for entry in allowed)
        self._all = "*" in entries
        self._null = "null" in entries
        sites = [_entry(entry) for entry in entries - {"*", "null"}]
        self._exact = frozenset(site for site in sites if not site[1].startswith("*"))
        self._below = [(scheme, host[1:], port) for scheme, host, port in sites if host.startswith("*")]

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a request with these two headers, Origin and Host, may go on."""
        if origin is None:
            return True
        if origin == "null":
            return self._null
        site = _site(origin)
        if site is None or "*" in origin:
            return False
        return self._all or site in self._exact or self._is_below(site) or _is_same(site, host)

    def _is_below(self, site: Site) -> bool:
        return any(
            site[1].endswith(suffix) and (site[0], site[2]) == (scheme, port) for scheme, suffix, port in self._below
        )


def _entry(text: str) -> Site:
    site = _site(text)
    if site is None:
        raise ConfigurationError(
            f"{text!r} in CHANGEFEED_ALLOWED_ORIGINS is no origin. Write scheme and host, and a port where it is not "
            "the usual one: https://app.example.com, https://*.example.com, http://localhost:3000; or * for all."
        )
    return site


def _site(text: str) -> Site | None:
    match = _ORIGIN.fullmatch(text.lower())
    return None if match is None else (match[1], match[2], match[3] or _PORTS.get(match[1], ""))


def _is_same(site: Site, header: str | None) -> bool:
    """Whether a Host header names the site; where it has no port, that is the usual one of the site's scheme."""
    match = _HOST.fullmatch((header or "").lower())
    return match is not None and site[0] in _PORTS and site[1:] == (match[1], match[2] or _PORTS[site[0]])
