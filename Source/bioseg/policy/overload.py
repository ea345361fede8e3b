"""Whom to turn away when more requests come than can be served."""

STANDING_SECONDS = 1.0
"""How long after somebody was turned away the load counts as standing."""

LONGEST_WAIT = 0.5
"""Of the time that a request takes: how long one may wait for its turn under a standing load."""


def may_enter(now: float, free_at: float, takes: float, last_turned_away: float) -> bool:
    """Tell whether a request may wait for its turn.

    A burst may: it is over soon. Under a load that stands, whoever waits is served no sooner than in twice the time,
    while others are sent away: so only those may enter whose turn comes soon. That is enough to keep the networks busy,
    and bounds the latency of those who are served. Queues are told to be bursts or standing by whether they were ever
    empty within an interval in CoDel (Nichols and Jacobson 2012, ACM Queue 10(5)); here nobody is turned away from a
    queue that has room, so that this tells.

    Parameters
    ----------
    now, free_at, last_turned_away
        Moments of one clock, seconds: the present, when all that have entered will have had their turn, and when a
        request was turned away last.
    takes
        Seconds that a turn takes.

    >>> may_enter(now=10.0, free_at=10.1, takes=0.1, last_turned_away=0.0)
    True
    >>> may_enter(now=10.0, free_at=10.1, takes=0.1, last_turned_away=9.9)
    False
    >>> may_enter(now=10.0, free_at=10.04, takes=0.1, last_turned_away=9.9)
    True
    """
    return now - last_turned_away > STANDING_SECONDS or free_at - now <= LONGEST_WAIT * takes
