"""Where a webhook is, and Meta's handshake with it before anything is posted."""

import secrets
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Self
from urllib.parse import urlencode, urlsplit

from smartia_jobs.errors import ConfigurationError
from smartia_jobs.settings.readers import is_loopback

#: Seconds that a webhook may take to answer.
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a webhook on this machine.

    Attributes:
        url: as it was given.
        host: a name or address of this machine itself.
        port: where it listens there.
        target: path and query.
    """

    url: str
    host: str
    port: int
    target: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the address in a URL of this machine: made-up posts must reach no real service.

        Raises:
            ConfigurationError: it is no such URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError:
            parts, port = urlsplit(""), 0
        host = parts.hostname or ""
        plain = url.isascii() and url.isprintable() and " " not in url
        if not plain or parts.scheme != "http" or not is_loopback(host):
            raise ConfigurationError(
                "The sandbox posts to a webhook on this machine alone; give an address such as"
                " http://127.0.0.1:8080/webhook."
            )
        query = f"?{parts.query}" if parts.query else ""
        return cls(url, host, port, (parts.path or "/") + query)

    def connection(self) -> HTTPConnection:
        """Return a connection that opens with its first request."""
        return HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)


def shake_hands(address: Address, verify_token: str) -> None:
    """Ask the webhook to echo a challenge, as Meta does when an address is entered.

    Raises:
        ConfigurationError: it did not, and what to look at.
    """
    challenge = str(secrets.randbelow(10**10))
    query = urlencode(
        {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    )
    joint = "&" if "?" in address.target else "?"
    connection = address.connection()
    try:
        connection.request("GET", f"{address.target}{joint}{query}")
        answer = connection.getresponse()
        echoed = answer.read(1024)
    except (OSError, HTTPException) as error:
        raise ConfigurationError(
            f"No webhook answers at {address.url} ({error}); start it first, with"
            " smartia-jobs serve, and then the sandbox."
        ) from None
    finally:
        connection.close()
    if answer.status == 403:
        raise ConfigurationError(
            "The webhook refused the handshake (HTTP 403): it knows another verify token. Give"
            " the sandbox and the webhook the same META_VERIFY_TOKEN."
        )
    if answer.status != 200:
        raise ConfigurationError(
            f"The webhook answered the handshake with HTTP {answer.status} instead of 200; look"
            " at its path (usually /webhook) and whether META_VERIFY_TOKEN and META_APP_SECRET"
            " are set where it runs."
        )
    if echoed != challenge.encode():
        raise ConfigurationError(
            "The webhook answered the handshake with 200, but not with the challenge alone as"
            " its body; Meta would not accept that."
        )
