"""The machine of per-request routing without sockets: time, instructions and allocations for a request, memory of a connection."""

import statistics

import plot
from micro import MICRO, allocations, instructions
from parts import table
from processes import PROGRAMS, Asker, output
from stats import Spread, duration, rounds_of

COUNTER = PROGRAMS / "allocations"
KINDS = {"get": "`GET`, 6 bytes", "unary": "gRPC call, trailers", "large": "`GET`, 1 MiB"}
STREAMS = [1, 100]
CASES = [f"{kind}/{streams}" for kind in KINDS for streams in STREAMS]
# A MiB is a 1,024th of a GiB.
PER_GIB = 1024


def measure(setting):
    asker = Asker([MICRO, "ask"], cpu=0)
    names = [f"{what}/{case}" for case in CASES for what in ("split", "split-script")]
    taken = rounds_of(setting.rounds(31, 3), names, lambda name: asker.ask(name, setting.rounds(20, 5)))
    asker.end()
    # 100 MiB in each run: less often, or it would take minutes.
    slow = [name for name in names if "/large/100" in name]
    ran = instructions(setting, [name for name in names if name not in slow]) | instructions(setting, slow, 5, 25)
    held = {}
    for line in output([COUNTER, "held"]).splitlines():
        kind, *numbers = line.split()
        held[kind] = list(map(int, numbers))
    return {
        "cpu": {name: [cpu for _, cpu in all_] for name, all_ in taken.items()},
        "instructions": ran,
        "allocations": {name: count for name, (count, _) in allocations([COUNTER, "split"]).items()},
        "held": held,
    }


def report(data, plots):
    rows, chart = [], []
    for case in CASES:
        kind, streams = case.split("/")
        each = int(streams)
        machine, script = data["cpu"][f"split/{case}"], data["cpu"][f"split-script/{case}"]
        time = Spread([(m - s) / each for m, s in zip(machine, script, strict=True)])
        counted = data["instructions"]
        ran = f"{(counted[f'split/{case}'] - counted[f'split-script/{case}']) / each:,.0f}" if f"split/{case}" in counted else "not counted"
        allocated = (data["allocations"][f"split/{case}"] - data["allocations"][f"split-script/{case}"]) / each
        gib = f"{time.median * PER_GIB / 1e6:.1f} ms" if kind == "large" else "-"
        rows.append([KINDS[kind], streams, time.text(duration), ran, f"{allocated:.2f}", gib, duration(statistics.median(script) / each)])
        if kind != "large":
            chart.append((f"{KINDS[kind].replace('`', '')}, {streams} at a time", time, "a"))
    plots["split"] = plot.bars("The machine of per-request routing: processor time for a request", "median, line: quartiles", chart, duration)
    memory = []
    for kind, text in KINDS.items():
        new, one, opened, idle = data["held"][kind]
        memory.append([text, f"{new:,} B", f"{one:,} B", f"{opened:,} B", f"{(opened - one) / 100:,.0f} B", f"{idle:,} B"])
    head = ["request", "streams at a time", "time", "instructions", "allocations", "for a GiB", "of the script, taken off"]
    return f"""## The machine of per-request routing
`SplitMachine` between a client and a backend that are scripts, without sockets: what both say is known before and comes in reads of many frames; what the machine
says is thrown away. `GET` with the fields of h2load and nghttpd, calls with those of grpc-go, over blocks as a long connection has them; each request is decoded, checked,
routed, and encoded for its backend, and its response the way back. Processor time; what the script itself needs (measured alone) is taken off, and so is the one allocation of each
read. 1 MiB comes in frames of 16 KiB and reads of 32 KiB.

![time for a request](benchmarks/split.svg)

{table(head, rows)}

Memory of a connection as its allocator counts it: without a request, after the first one (with its backend), with 100 that wait for their responses, and idle
for ten seconds when they have come. The adapter's own state, the sockets and the buffers of reads that nothing refers to are not in it.

{table(["requests", "new", "one request", "100 open", "each", "idle again"], memory)}
"""
