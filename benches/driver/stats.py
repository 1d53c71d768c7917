"""Medians with their spread. Absolute times on a shared machine mean little, so what counts is the ratio of neighbours: two samples
of the same round, milliseconds apart."""

import statistics


class Spread:
    """The middle of some numbers and the quarters around it."""

    def __init__(self, numbers):
        numbers = sorted(numbers)
        self.median = statistics.median(numbers)
        if len(numbers) > 1:
            self.low, _, self.high = statistics.quantiles(numbers, n=4, method="inclusive")
        else:
            self.low = self.high = self.median

    def text(self, show):
        return f"{show(self.median)} ({show(self.low)}–{show(self.high)})"


    def within(self, goal):
        """How a goal for the most that it may be is reported. What neither quarter tells apart from the goal is not called a miss."""
        return "met" if self.median <= goal else "**short**" if self.low > goal else "unclear"

    def at_least(self, goal):
        """As `within`, for the least that it may be."""
        return "met" if self.median >= goal else "**short**" if self.high < goal else "unclear"


def ratios(above, below):
    """Round by round."""
    return Spread([a / b for a, b in zip(above, below, strict=True)])


def times(number):
    """A ratio for readers: three digits at the most, and never more of them than it has."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def duration(nanoseconds):
    if nanoseconds >= 1e6:
        return f"{nanoseconds / 1e6:.3g} ms"
    return f"{nanoseconds / 1e3:.3g} µs" if nanoseconds >= 1e3 else f"{nanoseconds:.3g} ns"


def rounds_of(count, cases, take):
    """Calls `take(case)` for every case in `count` rounds, forth and back in turn, so that what drifts hits all of them alike. Gives
    a list of results for each case."""
    taken = {case: [] for case in cases}
    for number in range(count):
        for case in cases if number % 2 == 0 else reversed(cases):
            taken[case].append(take(case))
    return taken
