"""One long connection, after the verdict: what a request costs a server behind oneport, beside the same server alone."""

import re
import shutil
import statistics

import plot
from parts import table
from processes import PROGRAMS, WORK, Child, Server, output
from stats import MET, SHORT, colour, duration, ratios, rounds_of

SERVE = PROGRAMS / "serve"
LONG = PROGRAMS / "long"
GOAL = 1.02

# What: (label, how many in a sample, in a quick one, under callgrind at least).
WORKS = {
    "unary": ("unary, one at a time", 5_000, 500, 1_000),
    "wide": ("unary, 25 at a time", 10_000, 1_000, 2_000),
    "stream": ("messages of one call", 100_000, 10_000, 20_000),
    "down": ("1 MiB down", 200, 20, 30),
    "up": ("1 MiB up", 200, 20, 30),
}
# Name: (the server's runtime, its version of HTTP, what it is asked for).
SERVERS = {
    "hyper on tokio": ("tokio", "h2c", list(WORKS)),
    "hyper on smol": ("smol", "h2c", list(WORKS)),
    "a thread (std), HTTP/1": ("std", "http1", ["unary", "down", "up"]),
}
# The server alone is there twice: two processes of one program are not equal either.
MODES = {"direct": "direct", "oneport": "oneport", "again": "direct"}


class Pair:
    """A server, and the client that has one connection to it."""

    def __init__(self, runtime, mode, version):
        self.server = Server([SERVE, runtime, mode, version], cpu=0)
        self.client = Child([LONG, version, self.server.address], cpu=1)

    def ask(self, what, count):
        """Nanoseconds of the server's processor time for each."""
        def work():
            self.client.say(f"{what} {count}")
            self.client.line()

        _, used = self.server.using(work)
        return used * 1e9 / count

    def end(self):
        self.client.end()
        self.server.end()


def instructions(server, version, what, count):
    """That many requests and the server's start, under callgrind. The kernel's are not among them."""
    log = WORK / "callgrind.log"
    argv = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}", *server]
    server = Server(argv, cpu=0)
    client = Child([LONG, version, server.address.split(",")[0]], cpu=1)
    client.say(f"{what} {count}")
    client.line()
    client.end()
    server.end(60)
    return int(re.search(r"Collected : (\d+)", log.read_text())[1])


def counted(servers, version, what, count, runs):
    """Of one request, for each of the servers: what the least of some runs takes with so many requests, taken off that with three times as many."""
    cases = [(name, number) for name in servers for number in (count, 3 * count)]
    taken = rounds_of(runs, cases, lambda case: instructions(servers[case[0]], version, what, case[1]))
    return {name: (min(taken[name, 3 * count]) - min(taken[name, count])) / (2 * count) for name in servers}


def measure(setting):
    results = []
    counts = bool(shutil.which("valgrind"))
    if not counts:
        setting.miss("instructions after the verdict", "valgrind is not installed")
    for name, (runtime, version, works) in SERVERS.items():
        taken = {what: {mode: [] for mode in MODES} for what in works}
        # New processes again and again: where a program's memory lies is luck that lasts as long as it does.
        for _ in range(setting.rounds(11, 3)):
            pairs = {mode: Pair(runtime, program, version) for mode, program in MODES.items()}
            for what in works:
                _, count, quick, _ = WORKS[what]
                for pair in pairs.values():
                    pair.ask(what, quick)  # warm, and the ledgers are empty
                found = rounds_of(setting.rounds(5, 3), list(MODES), lambda mode: pairs[mode].ask(what, setting.rounds(count, quick)))
                for mode, samples in found.items():
                    taken[what][mode] += samples
            for pair in pairs.values():
                pair.end()
        for what in works:
            servers = {mode: [SERVE, runtime, mode, version] for mode in ("direct", "oneport")}
            # Bodies that come in are collected in memory that grows: now and then the C library copies it all, more or less often with luck.
            runs = setting.rounds(8, 4) if what == "up" else setting.rounds(4, 2)
            ran = counted(servers, version, what, WORKS[what][3], runs) if counts else {}
            results.append({"server": name, "what": what, "cpu": taken[what], "instructions": ran})
    return results


def percent(ratio):
    return f"{(ratio - 1) * 100:+.1f} %"


def report(data, plots):
    rows, chart = [], []
    for result in data:
        cpu, ran = result["cpu"], result["instructions"]
        behind, again = ratios(cpu["oneport"], cpu["direct"]), ratios(cpu["again"], cpu["direct"])
        verdict = behind.at_most_beside(GOAL, again)
        row = [
            result["server"], WORKS[result["what"]][0], duration(statistics.median(cpu["direct"])),
            behind.text(percent), again.text(percent), verdict,
        ]
        if ran:
            ratio = ran["oneport"] / ran["direct"]
            row += [f"{ran['direct']:,.0f}", f"{ran['oneport'] - ran['direct']:+,.0f} ({percent(ratio)})", MET if ratio <= GOAL else SHORT]
        else:
            row += ["not counted", "-", "-"]
        rows.append(row)
        label = f"{SERVERS[result['server']][0]}: {WORKS[result['what']][0]}"
        chart += [(label, behind, colour(verdict)), ("direct once more", again, "c"), None]
    plots["after"] = plot.bars(
        "One long connection: processor time for a request behind oneport, as part of the server's own",
        "median, line: quartiles; blue: goal met, yellow: short of it, grey: not to be told; direct once more: the same server without oneport", chart, lambda value: f"{value:.3f}", (GOAL, "goal: 1.02"),
    )
    head = ["server", "request", "direct", "behind oneport", "direct once more", "goal +2 %", "instructions", "behind oneport", "goal +2 %"]
    return f"""## After the verdict
One connection, warm, on which request follows request: the same server alone and behind oneport (routing by connection). The client waits for SETTINGS before its first request, so that oneport has to greet it
and has both ledgers to settle; both are empty long before anything is measured. hyper with as little above it as gRPC's framing and trailers need: what is added shows
most there. Messages of one call are 64 bytes each; bodies of 1 MiB are one at a time. Commands: `serve tokio|smol direct|oneport h2c`, `serve std direct|oneport http1`, `long h2c|http1 ADDR`.

Processor time is the server's, user and system, by the system's clock of the process; eleven times new processes. "Direct once more" is another process of the server alone, held against the first:
what a difference is worth here. Instructions are those of the program (not the kernel's), for a request: what a run under callgrind takes with so many requests, taken off one with three times as many; the least of some runs,
since how often the C library moves a buffer that grows, or a thread looks for work in vain, is luck, in both forms alike. Where the server itself has next to nothing to do but system calls (std), a few instructions are many percent.
Goals: at most 2 % more processor time, and at most 2 % more instructions, each with a verdict of its own. "Not resolvable here": direct once more differs from direct by more than 2 % itself, and what
oneport adds is not clearly more than that.

![processor time after the verdict](benchmarks/after.svg)

{table(head, rows)}
"""
