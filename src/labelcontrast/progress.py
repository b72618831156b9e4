"""Progress of work that may take long: a loop counts its steps, and the caller says what shows them, such as a bar."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Show = Callable[[str, int | None], AbstractContextManager[Callable[[int], object]]]
"""Shows work by its name and number of steps, if known; what is entered takes the number of steps that are done."""

_SHOW: ContextVar[Show | None] = ContextVar("_SHOW", default=None)


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Show the progress of all work within the block; by default nothing is shown."""
    before = _SHOW.set(show)
    try:
        yield
    finally:
        _SHOW.reset(before)


@contextmanager
def steps(what: str, total: int | None = None) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes the number of steps done since it was last called.

    Args:
        what: The work, in a few words.
        total: Number of steps.
    """
    show = _SHOW.get()
    if show is None:
        yield lambda _: None
        return
    with show(what, total) as advance:
        yield advance


def tracked(items: Iterable[T], what: str, *, total: int | None = None) -> Iterator[T]:
    """Yield items, each of which is a step that is done when the next one is asked for.

    Args:
        items: The items.
        what: The work, in a few words.
        total: Number of items; by default their length, where they have one.

    Example:
        >>> @contextmanager
        ... def show(what, total):
        ...     yield lambda done: print(what, done, "of", total)
        >>> with shown_by(show):
        ...     for word in tracked(["a", "b"], "words"):
        ...         print(word)
        a
        words 1 of 2
        b
        words 1 of 2
    """
    length = len(items) if total is None and isinstance(items, Sized) else total
    with steps(what, length) as advance:
        for item in items:
            yield item
            advance(1)
