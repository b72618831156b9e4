"""The engine: equal trials run once, progress is reported, and the page is written within its share of the time."""

import pytest

from labelcontrast.lab import pipeline
from labelcontrast.lab.pipeline import Throttle


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_all_calls_together_stay_below_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pipeline, "time", clock)
    called = []

    def draw() -> None:
        called.append(clock.now)
        clock.now += 3

    write = Throttle(draw, share=0.1, first=1)
    for _ in range(300):
        clock.now += 1
        write()
        assert 3 * len(called) <= max(0.1 * clock.now, 3)
    assert called[:3] == [10, 60, 90]
