"""What every part of the measurements has in common: its results as JSON in `.work/results`, so that one part can be measured again
without the others, and the page is made of what is there."""

import json
import os
import time

from processes import WORK

RESULTS = WORK / "results"


class Setting:
    """How thoroughly to measure, and what could not be measured here."""

    def __init__(self, quick):
        self.quick = quick
        self.missing = []

    def rounds(self, thorough, quick):
        return quick if self.quick else thorough

    def miss(self, what, why):
        """Says loudly that something is not measured."""
        self.missing.append(f"{what}: {why}")
        print(f"!!!! NOT MEASURED: {what}: {why}", flush=True)


def store(name, setting, started, load, data, commit):
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = {
        "data": data,
        "commit": commit,
        "missing": setting.missing,
        "quick": setting.quick,
        "seconds": round(time.time() - started),
        "date": time.strftime("%Y-%m-%d", time.gmtime(started)),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1))
    return result


def stored(name):
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])
