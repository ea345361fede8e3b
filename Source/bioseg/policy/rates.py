"""How often something may happen: a limit in words, such as `600/minute`, as a number and seconds."""

from dataclasses import dataclass

from bioseg.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Rate:
    """So many times in so many seconds, counted from the first time."""

    times: int
    seconds: int


def parse(text: str) -> tuple[Rate, ...]:
    """Read one or several limits, as the library `limits` writes them; none in an empty text.

    Raises
    ------
    SettingsError
        When the text is no limit.

    Example
    -------
    >>> parse("10/second; 600 per 2 hours")
    (Rate(times=10, seconds=1), Rate(times=600, seconds=7200))
    """
    if not text.strip():
        return ()
    from limits import parse_many

    try:
        limits = parse_many(text)
    except ValueError as error:
        raise SettingsError(
            f"BIOSEG_RATE_LIMIT: {text!r} is no limit; say how many per second, minute, hour or day, as in 600/minute"
        ) from error
    return tuple(Rate(limit.amount, limit.get_expiry()) for limit in limits)
