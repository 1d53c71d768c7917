"""The parts in order. `benches/run` starts this when everything is built."""

import argparse
import sys
import traceback

import after
import connections
import first
import memory
import micro
import page
import per_request
import proxy
import recode
import results
import router
import sharing
import split
from circumstances import Watch
from parts import Setting
from processes import ROOT, end_all, raise_limits, unpinned

# Name: (measure, report).
PARTS = {
    "verdict": (micro.measure_verdict, micro.report_verdict),
    "routes": (micro.measure_routes, micro.report_routes),
    "crawl": (micro.measure_crawl, micro.report_crawl),
    "hpack": (micro.measure_hpack, micro.report_hpack),
    "connections": (connections.measure, connections.report),
    "first": (first.measure, first.report),
    "after": (after.measure, after.report),
    "memory": (memory.measure, memory.report),
    "sharing": (sharing.measure, sharing.report),
    "proxy": (proxy.measure, proxy.report),
    "split": (split.measure, split.report),
    "recode": (recode.measure, recode.report),
    "router": (router.measure, router.report),
    "per-request": (per_request.measure, per_request.report),
}


def measure(name, quick):
    """One part, its result stored: the reason if it failed, what was left out."""
    take, report = PARTS[name]
    setting, watch = Setting(quick), Watch()
    print(f"\n-- {name} (load {watch.load:.2f})", flush=True)
    try:
        data = take(setting)
        record = results.store(name, {"data": data} | watch.seen(setting))
        print(report(record["data"], {}))
    except Exception as error:
        # Whatever it was: one part must not end the others.
        traceback.print_exc()
        end_all()
        why = (str(error).splitlines() or [""])[0].replace(f"{ROOT}/", "")
        why = f"{type(error).__name__}: {why}"[:200]
        results.store_failure(name, quick, {"date": watch.date, "commit": watch.commit, "why": why})
        return why, setting.missing
    return None, setting.missing


def main():
    parser = argparse.ArgumentParser(prog="benches/run", description="Measures oneport beside others and writes docs/benchmarks.md.")
    parser.add_argument("--quick", action="store_true", help="few and short samples, kept apart; does not write the page")
    parser.add_argument("--page", action="store_true", help="only write the page, of the results that are there")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part {part}; there are: {', '.join(PARTS)}")
    if options.page:
        page.write(PARTS)
        return
    micro.prepare()
    raise_limits()
    if why := unpinned():
        print(f"!!!! NOT PINNED: servers and clients have no processors of their own: {why}", flush=True)
    outcomes = {name: measure(name, options.quick) for name in options.parts or PARTS}
    if not options.quick:
        absent = [name for name in PARTS if not (record := results.stored(name)) or not record["data"]]
        if absent and options.parts:
            print(f"the page is left as it is: no results of {', '.join(absent)} (`--page` writes it without them)")
        else:
            page.write(PARTS)
    for name, (_, missing) in outcomes.items():
        for what in missing:
            print(f"!!!! NOT MEASURED: {name}: {what}")
    failed = {name: why for name, (why, _) in outcomes.items() if why}
    for name, why in failed.items():
        print(f"!!!! FAILED: {name}: {why}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
