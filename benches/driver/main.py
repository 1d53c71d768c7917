"""The parts in order, and the page. `benches/run` starts this when everything is built."""

import argparse
import os
import platform
import re
import subprocess
import sys
import time

import after
import connections
import first
import memory
import micro
import per_request
import proxy
import recode
import router
import sharing
import split
from parts import Setting, store, stored
from processes import PEERS, ROOT, Failed, output, raise_limits

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
PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"


def versions():
    """Programs of this machine, as far as they say."""
    found = [output(["rustc", "--version"]).split(" (")[0]]
    go = output([PEERS, "versions"]).replace("google.golang.org/grpc ", "grpc-go ").replace("github.com/soheilhy/", "")
    # Less what only those need that are compared with.
    found += [line.replace("golang.org/", "") for line in go.splitlines() if not line.startswith(("google.", "golang.org/x/sys"))]
    lock = (ROOT / "benches" / "Cargo.lock").read_text()
    for crate in ("tokio", "smol", "hyper", "h2", "tonic", "axum", "fluke-hpack"):
        found.append(f"{crate} " + re.search(rf'name = "{crate}"\nversion = "(.*)"', lock)[1])
    return ", ".join(found)


def machine():
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    return f"{len(os.sched_getaffinity(0))} × {model[1] if model else platform.machine()}, Linux {'.'.join(platform.release().split('.')[:2])}"


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "not a checkout"


def write_page():
    sections, facts, missing, plots = [], [], [], {}
    for name, (_, report) in PARTS.items():
        result = stored(name)
        if result is None:
            missing.append(f"{name}: not run yet")
            continue
        sections.append(report(result["data"], plots))
        missing += result["missing"]
        kind = "quick, " if result["quick"] else ""
        facts.append(f"{name}: {kind}{result['date']}, {result['seconds']} s, load {result['load'][0]} before and {result['load'][1]} after, {result['commit']}")
    PLOTS.mkdir(exist_ok=True)
    for name, text in plots.items():
        (PLOTS / f"{name}.svg").write_text(text)
    intro = (ROOT / "benches" / "driver" / "intro.md").read_text()
    findings = (ROOT / "benches" / "driver" / "findings.md").read_text()
    lines = [intro, *sections, findings]
    if missing:
        lines.append("## Not measured here\n" + "\n".join(f"- {what}" for what in missing) + "\n")
    lines.append(
        f"""## How
`benches/run` measures all of it, `benches/run --quick` in a tenth of the time and less exactly, `benches/run PART…` parts of it; the page is made of the last
results of each. What it needs is in [benches/README.md](../benches/README.md).

- machine: {machine()}
- versions: {versions()}
"""
        + "\n".join(f"- {fact}" for fact in facts)
        + "\n"
    )
    PAGE.write_text("\n".join(lines))
    print(f"wrote {PAGE.relative_to(ROOT)} and {len(plots)} plots")


def main():
    parser = argparse.ArgumentParser(prog="benches/run", description="Measures oneport beside others and writes docs/benchmarks.md.")
    parser.add_argument("--quick", action="store_true", help="few and short samples; does not write the page")
    parser.add_argument("--page", action="store_true", help="only write the page, of the results that are there")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part {part}; there are: {', '.join(PARTS)}")
    micro.prepare()
    raise_limits()
    failed, missing = [], []
    for name in [] if options.page else options.parts or PARTS:
        measure, report = PARTS[name]
        setting, started, load = Setting(options.quick), time.time(), os.getloadavg()[0]
        print(f"\n-- {name} (load {load:.2f})", flush=True)
        try:
            data = measure(setting)
        except (Failed, subprocess.TimeoutExpired) as error:
            print(f"!!!! FAILED: {name}: {error}", flush=True)
            failed.append(name)
            continue
        result = store(name, setting, started, load, data, commit())
        missing += setting.missing
        print(report(result["data"], {}))
    if not options.quick:
        write_page()
    for what in missing:
        print(f"!!!! NOT MEASURED: {what}")
    for name in failed:
        print(f"!!!! FAILED: {name}")
    sys.exit(bool(failed))


main()
