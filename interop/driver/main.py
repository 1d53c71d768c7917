"""The interop suite: real clients and real servers with `oneport serve` between them. `interop/run` starts it."""

import argparse
import sys
import time

import cells
import pairs
import peers
import report
from processes import ROOT, Failed

PARTS = ["cells", "scene", "refusals", "envoy", "goaway", "timing"]
# Only when asked for.
MORE = ["patience"]


def arguments():
    parser = argparse.ArgumentParser(prog="interop/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter idle times, fewer repetitions; every pair still runs")
    parser.add_argument("--only", action="append", metavar="TEXT",
                        help=f"a part ({', '.join(PARTS + MORE)}), or CLIENT, or CLIENT/BACKEND, or /BACKEND; the report is not written")
    parser.add_argument("--direct", action="store_true", help="the suite against itself: a plain relay in oneport's place")
    return parser.parse_args()


def chosen(required, only):
    def wanted(pair):
        for text in only:
            client, _, backend = text.partition("/")
            if client in ("", pair.client) and backend in ("", pair.backend) and text != "/":
                return True
        return False

    return pairs.Required([pair for pair in required.pairs if wanted(pair)], required.exceptions)


def say(line):
    print(line, flush=True)


def main():
    asked = arguments()
    only = asked.only or []
    parts = [part for part in PARTS + MORE if part in only] or ([] if only else PARTS)
    only = [text for text in only if text not in PARTS + MORE]
    if only and "cells" not in parts:
        parts.append("cells")
    if asked.direct:
        parts = ["cells"]
    required = pairs.load()
    if only:
        required = chosen(required, only)
    began, found, failed = time.monotonic(), {}, []
    found["versions"] = peers.versions()
    for name, version in found["versions"].items():
        say(f"{name} {version}")
    for part in parts:
        say(f"\n== {part}")
        if part == "cells":
            bench = cells.Bench(required, asked.direct)
            found["cells"] = cells.run(required, bench, asked.quick, say)
            failed += [f"{c} × {b}" for (c, b), cell in found["cells"].items() if not cell.passed()]
        else:
            module = __import__(part)
            found[part] = module.run(asked.quick, say)
            failed += [f"{part}: {failure}" for failure in found[part].failures]
    text = report.render(required, found, quick=asked.quick)
    say("\n" + text)
    say(f"took {time.monotonic() - began:.0f} s")
    if failed:
        say("FAILED: " + "; ".join(failed))
        return 1
    if parts == PARTS and not only and not asked.quick:
        (ROOT / "docs").mkdir(exist_ok=True)
        (ROOT / "docs/interop.md").write_text(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as reason:
        sys.exit(f"interop: {reason}")
