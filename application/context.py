"""What every view needs: the platform, and who is calling."""

import ipaddress
import secrets
from dataclasses import dataclass

from flask import Flask, current_app, g, request, session
from werkzeug.routing import BaseConverter

from bioseg.platform import Platform

EXTENSION = "bioseg"


class IdConverter(BaseConverter):
    """The id of a request in an address: 32 hexadecimal digits."""

    regex = "[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `owner`, 32 hexadecimal digits, is what their uploads belong to; operators see everybody's."""

    owner: str
    is_operator: bool = False

    @property
    def sees(self) -> str | None:
        """Whose requests the caller may see, list, judge and delete; None: everybody's."""
        return None if self.is_operator else self.owner


def attach(app: Flask, platform: Platform) -> None:
    """Give an application the platform that its views use."""
    app.extensions[EXTENSION] = platform


def platform() -> Platform:
    """Platform of the running application."""
    attached: Platform = current_app.extensions[EXTENSION]
    return attached


def caller() -> Caller:
    """Who makes the running call of the API: the operator, who holds the token that it carries, else the visitor."""
    known: Caller | None = g.get("caller")
    return known or Caller(visitor())


def visitor() -> str:
    """Owner in the signed cookie of a browser: 32 hexadecimal digits, drawn at random on the first call."""
    if "owner" not in session:
        session["owner"] = secrets.token_hex(16)
        session.permanent = True
    return str(session["owner"])


def address() -> str:
    """Address that the running request comes from; of IPv6 the network, whose 2^64 addresses are one subscriber's."""
    remote = request.remote_addr or "unknown"
    try:
        parsed = ipaddress.ip_address(remote)
    except ValueError:
        return remote
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def is_https() -> bool:
    """Whether the running request came over HTTPS, a trusted proxy's included."""
    return request.is_secure
