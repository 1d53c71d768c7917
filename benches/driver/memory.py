"""Memory of many connections: silent and undecided ones, and idle ones that are routed."""

import time

import plot
from parts import table
from processes import PEERS, PROGRAMS, Child, Server
from stats import Spread, colour, rounds_of

HOLD = PROGRAMS / "hold"
LOAD = PROGRAMS / "load"

# Name, program, multiplexer; for the Rust servers the last word is what they hold.
SERVERS = [
    ("tokio", [HOLD, "tokio"], "oneport"),
    ("smol", [HOLD, "smol"], "oneport"),
    ("std", [HOLD, "std"], "oneport"),
    ("Go", [PEERS, "hold"], "cmux"),
]
GOALS = {"silent": 1024, "routed": 512}
WARM = 64


def settle(server):
    """Resident memory once it does not change any more."""
    last = None
    for _ in range(50):
        time.sleep(0.1)
        now = server.rss()
        if now == last:
            return now
        last = now
    return last


def hold(argv, mode, what, count):
    """Bytes a connection, and how many of them were answered in the end."""
    rust = argv[0] == HOLD
    server = Server([*argv, mode, what] if rust else [*argv, mode])
    # What is loaded and made for the first connections is no connection's.
    warm = Child([LOAD, "hold", server.address, WARM, what])
    warm.line()
    before = settle(server)
    client = Child([LOAD, "hold", server.address, count, what])
    client.line()
    after = settle(server)
    # A list of sockets looks at them when it is told to.
    tell = rust and argv[1] == "std" and (mode == "direct" or what == "routed")
    for child in (warm, client):
        child.say("ask")
        if tell and child is warm:
            # The list answers each connection once, in the order in which they came.
            server.say("answer")
        answered, failed = map(int, child.line().split())
    for child in (client, warm, server):
        child.end()
    return {"bytes": (after - before) / count, "answered": answered, "failed": failed}


def measure(setting):
    count = setting.rounds(10_000, 1_000)
    results = []
    for name, argv, mux in SERVERS:
        for what in GOALS:
            taken = rounds_of(setting.rounds(5, 1), ["direct", mux], lambda mode: hold(argv, mode, what, count))
            results.append({"runtime": name, "mux": mux, "what": what, "count": count, "direct": taken["direct"], "behind": taken[mux]})
    return results


def size(number):
    return f"{number:,.0f} B"


def report(data, plots):
    rows, chart = [], []
    for result in data:
        direct, behind = (Spread([r["bytes"] for r in result[mode]]) for mode in ("direct", "behind"))
        added = Spread([b["bytes"] - d["bytes"] for b, d in zip(result["behind"], result["direct"], strict=True)])
        goal = GOALS[result["what"]]
        ours = result["mux"] == "oneport"
        met = added.at_most(goal) if ours else "-"
        answered = min(r["answered"] for r in result["behind"] + result["direct"])
        alive = f"{answered:,} of {result['count']:,}"
        what = "undecided, silent" if result["what"] == "silent" else "routed, idle"
        rows.append([result["runtime"], result["mux"], what, direct.text(size), behind.text(size), added.text(size), f"{goal:,} B: {met}" if ours else "-", alive])
        chart.append((f"{result['runtime']}, {result['mux']}: {what}", added, colour(met)))
    plots["memory"] = plot.bars(
        "Memory that a multiplexer adds to a connection", "median, line: spread; blue: goal met, yellow: short of it, grey: cmux", chart, size
    )
    head = ["runtime", "multiplexer", "connections", "direct", "behind", "added", "goal", "alive at the end (least)"]
    return f"""## Memory
{data[0]['count']:,} connections at once, bounds raised; what the server's resident memory has grown by, for each: user space, the kernel's sockets apart. "Direct" is the
least that the runtime needs for a connection: a task that waits in a read and holds no buffer; for std a socket in a list, since a thread for each would hide the rest;
for Go a goroutine. "Routed" connections have had a request and its answer. In the end each connection is sent a request, and its answer counted.
Commands: `hold tokio|smol|std direct|oneport silent|routed`, `peers hold direct|cmux`, `load hold ADDR COUNT silent|routed`; each sample is of new processes, n = {len(data[0]["direct"])}.
Goals: 1 KiB and 512 B above direct.

![memory added](benchmarks/memory.svg)

{table(head, rows)}
"""
