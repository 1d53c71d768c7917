"""What every part of the measurements has in common: how thoroughly it measures, what it could not, and tables."""


class Setting:
    """How thoroughly to measure, and what could not be measured here."""

    def __init__(self, quick):
        self.quick = quick
        self.missing = []

    def rounds(self, thorough, quick):
        return quick if self.quick else thorough

    def miss(self, what, why):
        """Says loudly that something is not measured, once."""
        if (said := f"{what}: {why}") not in self.missing:
            self.missing.append(said)
            print(f"!!!! NOT MEASURED: {said}", flush=True)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])
