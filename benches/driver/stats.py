"""Medians with their spread. Absolute times on a shared machine mean little, so what counts is the ratio of neighbours: two samples
of the same round, milliseconds apart."""

import statistics

MET, SHORT, UNCLEAR, UNRESOLVED = "met", "**short**", "unclear", "not resolvable here"


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

    def at_most(self, goal):
        """How a goal for the most that it may be is reported, by the same measure in both directions: what is between the quarters is neither."""
        return MET if self.high <= goal else SHORT if self.low > goal else UNCLEAR

    def at_least(self, goal):
        """As `at_most`, for the least that it may be."""
        return MET if self.low >= goal else SHORT if self.high < goal else UNCLEAR

    def at_most_beside(self, goal, itself):
        """As `at_most`, where `itself` is what the same comparison gives for a program and itself: where that goes as far from 1 as the goal does,
        only what is worse than both is told from it."""
        if max(abs(itself.low - 1), abs(itself.high - 1)) <= abs(goal - 1):
            return self.at_most(goal)
        return SHORT if self.low > max(goal, itself.high) else UNRESOLVED


def colour(verdict):
    """Of a bar: blue, yellow, grey."""
    return {MET: "a", SHORT: "b"}.get(verdict, "c")


def ratios(above, below):
    """Round by round."""
    return Spread([a / b for a, b in zip(above, below, strict=True)])


def times(number):
    """A ratio for readers: three digits at the most, and never more of them than it has."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def duration(nanoseconds):
    """Three digits, whatever its sign."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if round(abs(nanoseconds) / size, 4) >= 1:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def rounds_of(count, cases, take):
    """Calls `take(case)` for every case in `count` rounds, forth and back in turn, so that what drifts hits all of them alike. Gives
    a list of results for each case."""
    taken = {case: [] for case in cases}
    for number in range(count):
        for case in cases if number % 2 == 0 else reversed(cases):
            taken[case].append(take(case))
    return taken
