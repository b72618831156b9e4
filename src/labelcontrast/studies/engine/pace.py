"""What is done again and again while trials run, such as drawing their page, without delaying them."""

import time
from collections.abc import Callable


class Pace:
    """Calls a function when it is asked to, as long as all calls together take less than a share of the time.

    Args:
        do: the function; whoever needs its last state calls it once more in the end.
        share: of the time since this was made.
        first: what the first call is taken to cost, in seconds; a later one costs what the one before it did.

    Example:
        >>> seen = []
        >>> pace = Pace(lambda: seen.append("drawn"), share=0.5, first=3600)
        >>> pace()
        >>> seen
        []
    """

    def __init__(self, do: Callable[[], object], *, share: float = 0.02, first: float = 1.0) -> None:
        self._do, self._share, self._cost = do, share, first
        self._spent = 0.0
        self._begun = time.monotonic()

    def __call__(self) -> None:
        """Call the function, if there is time."""
        now = time.monotonic()
        if self._spent + self._cost <= self._share * (now - self._begun):
            self._do()
            self._cost = time.monotonic() - now
            self._spent += self._cost
