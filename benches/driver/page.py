"""docs/benchmarks.md, always of all parts: what is missing, of another commit, dirty, failed or out of date is marked at its heading."""

import collections

import results
from circumstances import changed_since
from processes import BENCHES, ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"
MARK = "> **"
# As many files are named that have changed since.
NAMED = 6


def usual_commit(records):
    """The one that most parts were measured at."""
    return collections.Counter(record["commit"] for record in records if record["data"]).most_common(1)[0][0]


def marks(record, usual):
    """What a reader must know before the numbers of a part."""
    found = []
    if failure := record.get("failed"):
        shown = "what is shown is of before" if record["data"] else "there is nothing to show"
        found.append(f"FAILED on {failure['date']} at {failure['commit']} ({failure['why']}): {shown}.")
    if not record["data"]:
        return found
    if record["quick"]:
        found.append("Of a quick run: few and short samples.")
    if record["commit"].endswith("-dirty"):
        found.append(f"Measured at {record['commit']}: with changes that were not committed.")
    elif record["commit"] != usual:
        found.append(f"Measured at {record['commit']}, most of this page at {usual}.")
    if record["unpinned"]:
        found.append(f"Servers and clients had no processors of their own: {record['unpinned']}.")
    changed = changed_since(record["commit"])
    if changed is None:
        found.append(f"Measured at {record['commit']}, which this checkout does not have.")
    elif changed:
        files = ", ".join(f"`{path}`" for path in changed) if len(changed) <= NAMED else f"{len(changed)} files of core, adapters and command"
        found.append(f"Measured at {record['commit']}; changed since: {files}.")
    return found


def circumstances(record):
    busy = f"load {record['load'][0]} before and {record['load'][1]} after, others used {record['others']:.0%} of the processors"
    return f"{record['date']}, {record['commit']}, {record['seconds']} s, {busy}" + (f", {record['stolen']:.0%} was stolen" if record["stolen"] >= 0.005 else "")


def section(name, record, report, usual, plots):
    """A part with its marks right below its heading."""
    if record is None:
        return f"## {name}\n\n{MARK}Not measured yet.**\n"
    lines = [f"{MARK}{mark}**" for mark in marks(record, usual)]
    if not record["data"]:
        return "\n".join([f"## {name}", "", *lines, ""])
    heading, text = report(record["data"], plots).split("\n", 1)
    # A blank line apart, or markdown would make one paragraph of them.
    return "\n".join([heading, *(part for line in lines for part in ("", line)), *([""] if lines else []), text])


def distinct(records, what):
    """`parts: value` for each value that there is; the value alone if all have the same."""
    by = {}
    for name, record in records.items():
        by.setdefault(record[what], []).append(name)
    if len(by) == 1:
        return next(iter(by))
    return "; ".join(f"{', '.join(names)}: {value}" for value, names in by.items())


def text(parts, plots):
    """The page; `plots` is filled with the plots by name."""
    records = {name: results.stored(name) for name in parts}
    measured = {name: record for name, record in records.items() if record and record["data"]}
    usual = usual_commit(measured.values()) if measured else None
    sections = [section(name, records[name], report, usual, plots) for name, (_, report) in parts.items()]
    missing = [f"{name}: {what}" for name, record in measured.items() for what in record["missing"]]
    missing += [f"{name}: no result" for name in parts if name not in measured]
    lines = [(BENCHES / "driver" / "intro.md").read_text(), *sections, (BENCHES / "driver" / "findings.md").read_text()]
    if missing:
        lines.append("## Not measured here\n" + "\n".join(f"- {what}" for what in missing) + "\n")
    facts = [f"{name}: {circumstances(record)}" for name, record in measured.items()]
    if measured:
        facts = [
            f"machine: {distinct(measured, 'machine')}",
            f"versions: {distinct(measured, 'versions')}",
            f"lock files: {distinct(measured, 'locks')}",
            *facts,
        ]
    lines.append(
        """## How
`benches/run` measures all of it, `benches/run --quick` in a tenth of the time and less exactly, without a page, `benches/run PART…` parts of it. Each part leaves its samples and circumstances in
[benches/results](../benches/results), and the page is made of them. What it needs is in [benches/README.md](../benches/README.md).
"Others" are processes that are not the benchmark's, what the kernel did for nobody in particular, and workers of proxies that nobody waited for.

"""
        + "".join(f"- {fact}\n" for fact in facts)
    )
    return "\n".join(lines)


def unmarked(page):
    """What does not change when the program does: all but the marks."""
    return [line for line in page.splitlines() if line and not line.startswith(MARK)]


def write(parts):
    plots = {}
    PAGE.write_text(text(parts, plots))
    PLOTS.mkdir(exist_ok=True)
    for name, svg in plots.items():
        (PLOTS / f"{name}.svg").write_text(svg)
    print(f"wrote {PAGE.relative_to(ROOT)} and {len(plots)} plots")
