"""Which arm serves a client: by a hash, so that nothing need be remembered and nobody is moved back."""

import hashlib
from typing import Literal

from bioseg.errors import InvalidInput

Arm = Literal["champion", "challenger"]


def arm(client: str, rollout: str, share: float) -> Arm:
    """Assign a client to an arm of a rollout.

    The same client has the same place in [0, 1) for as long as the rollout lasts, and the challenger serves the places
    below its share: a growing share only ever moves clients from the champion to the challenger. Another rollout deals
    the places anew, so that nobody is a test subject every time.

    Parameters
    ----------
    client, rollout
        Names; any text.
    share
        Of the clients that the challenger serves, in [0, 1].

    Raises
    ------
    InvalidInput
        When the share is outside 0 to 1.

    >>> [arm("7f3a", "membrane-12", share) for share in (0, 0.1, 0.5, 1.0)]
    ['champion', 'champion', 'champion', 'challenger']
    """
    if not 0 <= share <= 1:
        raise InvalidInput(f"a share of {share}: give a number from 0 to 1")
    return "challenger" if place(client, rollout) < share else "champion"


def place(client: str, rollout: str) -> float:
    """Give a client's place in [0, 1): 53 bits of a hash of rollout and client, uniform and stable for ever.

    >>> place("7f3a", "membrane-12") == place("7f3a", "membrane-12")
    True
    """
    name = len(rollout).to_bytes(8, "big") + rollout.encode() + client.encode()
    digest = hashlib.blake2b(name, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
