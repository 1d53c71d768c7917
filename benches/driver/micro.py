"""What a verdict costs, beside cmux; a hundred routes beside one; openings byte by byte; HPACK beside two other decoders."""

import re
import shutil
import statistics

import plot
import stories
from parts import table
from processes import PEERS, PROGRAMS, WORK, Asker, output
from stats import MET, SHORT, UNCLEAR, Spread, colour, duration, ratios, rounds_of, times

MICRO = PROGRAMS / "micro"
FLIGHTS = WORK / "flights.txt"


def prepare():
    WORK.mkdir(exist_ok=True)
    FLIGHTS.write_text(output([MICRO, "flights"]))


def flights():
    """(name, route, waits, is HTTP/2) of each."""
    for line in FLIGHTS.read_text().splitlines():
        name, route, waits, segments = line.split()
        yield name, route, waits == "true", segments.startswith(b"PRI * HTTP/2".hex())


def allocations(argv):
    """By case: how many, and bytes."""
    found = {}
    for line in output(argv).splitlines():
        name, count, size = line.split()
        found[name] = (float(count), float(size))
    return found


def instructions(setting, cases, few=100, many=1100):
    """Of one run of each case: two runs under callgrind that differ only in how often they do it."""
    if not shutil.which("valgrind"):
        setting.miss("instructions", "valgrind is not installed")
        return {}
    found = {}
    for name in cases:
        counts = []
        for runs in (few, many):
            argv = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", MICRO, "times", name, runs]
            log = WORK / "callgrind.log"
            output([*argv[:2], f"--log-file={log}", *argv[2:]])
            counts.append(int(re.search(r"Collected : (\d+)", log.read_text())[1]))
        found[name] = (counts[1] - counts[0]) / (many - few)
    return found


def interleaved(setting, askers, cases, rounds, milliseconds):
    """`cases` are (asker, name); gives for each name the times, round by round."""
    taken = rounds_of(rounds, cases, lambda case: askers[case[0]].ask(case[1], milliseconds))
    return {name: {"thread": [t[0] for t in all_], "process": [t[1] for t in all_]} for (_, name), all_ in taken.items()}


def with_askers(*files):
    return {"rust": Asker([MICRO, "ask", *files], cpu=0), "go": Asker([PEERS, "ask", FLIGHTS, *files], cpu=0)}


def end(askers):
    for asker in askers.values():
        asker.end()


# ---- verdict -------------------------------------------------------------------------------------------------------------------


def measure_verdict(setting):
    askers = with_askers()
    samples = {}
    for name, *_ in flights():
        cases = [("rust", f"verdict/{name}"), ("go", f"cmux-writer/{name}"), ("go", f"cmux-silent/{name}")]
        samples |= interleaved(setting, askers, cases, setting.rounds(31, 5), setting.rounds(20, 5))
    end(askers)
    counted = allocations([PROGRAMS / "allocations"]) | allocations([PEERS, "allocations", FLIGHTS])
    ran = instructions(setting, [f"verdict/{name}" for name, *_ in flights()])
    return {"flights": list(flights()), "samples": samples, "allocations": counted, "instructions": ran}


def cmux_of(data, name, waits):
    """The cheaper one of cmux's two ways to look for gRPC, of those that work for this client."""
    writer, silent = (data["samples"][f"cmux-{kind}/{name}"] for kind in ("writer", "silent"))
    if waits or statistics.median(writer["thread"]) <= statistics.median(silent["thread"]):
        return "writer", writer
    return "silent", silent


def report_verdict(data, plots):
    rows, chart = [], []
    for name, route, waits, is_http2 in data["flights"]:
        ours = data["samples"][f"verdict/{name}"]
        kind, theirs = cmux_of(data, name, waits)
        ratio, with_all = ratios(theirs["thread"], ours["thread"]), ratios(theirs["process"], ours["process"])
        goal = 10 if is_http2 else 5
        count = data["allocations"][f"verdict/{name}"][0]
        verdict = ratio.at_least(goal)
        rows.append([
            f"`{name}`" + (" (greeted)" if waits else ""),
            route,
            duration(statistics.median(ours["thread"])),
            duration(statistics.median(theirs["thread"])),
            ratio.text(times),
            times(with_all.median),
            f"{goal}: {verdict}",
            f"{count:.0f}" + ("" if count <= 4 else " **(goal 4)**"),
            f"{data['allocations'][f'cmux-{kind}/{name}'][0]:.0f}",
            f"{data['instructions'][f'verdict/{name}']:,.0f}" if data["instructions"] else "not counted",
        ])
        chart.append((name, ratio, colour(verdict)))
    plots["verdict"] = plot.bars(
        "The whole life of a connection up to its handover: cmux 0.1.5 takes this many times as long",
        "median, line: quartiles; blue: goal met (HTTP/2 10, others 5), yellow: short of it, grey: unclear",
        chart,
        lambda value: f"{times(value)} ×",
        (10, "goal for HTTP/2"),
    )
    head = ["flight", "route", "oneport", "cmux", "cmux ÷ oneport", "with all threads", "goal", "allocations", "cmux's", "instructions"]
    return f"""## Cost of a verdict
The machine's whole life on each [recorded flight](../tests/flights/MANIFEST.md): new, fed as the client's segments came, greeted where the client waits, verdict, parts
handed over and dropped. cmux: its `serve` for one connection, called directly on a connection in memory, up to the connection that the
route's listener gives out; without the goroutine that it starts for each, and without the system calls that its reads of
a few bytes at a time would cost. Routes of both: gRPC, HTTP/1, anything.
cmux has two matchers for gRPC, one that sends SETTINGS and one that is silent; the faster one is shown, for clients that
wait the one that works. Both sides include what they free; "with all threads" adds the threads of Go's garbage collector.

![cmux ÷ oneport](benchmarks/verdict.svg)

{table(head, rows)}
"""


# ---- routes --------------------------------------------------------------------------------------------------------------------


# How many of the mixed hundred could match: twenty each by host, path, field, gRPC service (HTTP/2 only) and SNI.
ABLE = {"HTTP/1": 60, "HTTP/2": 80, "TLS": 20, "SSH": 0}
TABLES = {"hundred-routes": "all able", "mixed-routes": "mixed"}


def protocol(route, segments):
    """What a client speaks, by the route that it takes and what it says, in hexadecimal."""
    if route == "http1":
        return "HTTP/1"
    return next(name for name, first in (("HTTP/2", b"PRI * HTTP/2".hex()), ("SSH", b"SSH-".hex()), ("TLS", "1603")) if segments.startswith(first))


def measure_routes(setting):
    askers = {"rust": Asker([MICRO, "ask"], cpu=0)}
    samples, spoken = {}, {}
    for line in FLIGHTS.read_text().splitlines():
        name, route, _, segments = line.split()
        spoken[name] = protocol(route, segments)
        cases = [("rust", f"{kind}/{name}") for kind in ("one-route", *TABLES)]
        samples |= interleaved(setting, askers, cases, setting.rounds(31, 5), setting.rounds(10, 5))
    end(askers)
    return {"flights": spoken, "samples": samples}


def report_routes(data, plots):
    rows, chart = [], []
    for name, spoken in data["flights"].items():
        one = data["samples"][f"one-route/{name}"]["thread"]
        row = [f"`{name}`", spoken, duration(statistics.median(one))]
        for kind, text in TABLES.items():
            many = data["samples"][f"{kind}/{name}"]["thread"]
            ratio = ratios(many, one)
            met = ratio.at_most(2)
            row += [duration(statistics.median(many)), ratio.text(times), met]
            chart.append((name if kind == "hundred-routes" else text, ratio, colour(met)))
        rows.append([*row[:6], ABLE[spoken], *row[6:]])
        chart.append(None)
    plots["routes"] = plot.bars(
        "A hundred routes beside one", "times as long; a hundred that could all match, and a mixed hundred; median, line: quartiles", chart,
        lambda value: f"{times(value)} ×", (2, "goal: at most 2"),
    )
    head = ["flight", "speaks", "one", "hundred", "÷ one", "goal 2", "mixed: able to match", "mixed", "÷ one", "goal 2"]
    return f"""## A hundred routes
The same life before one route that looks at what such a client says (host, SNI, or first bytes) and does not take it, and before a hundred that do not, in two tables:
a hundred that could all match such a client (HTTP/1: host, path and field; HTTP/2: these and gRPC service; TLS: SNI and ALPN; SSH: first bytes), and a mixed one,
twenty each by host, path, field, gRPC service and SNI, of which only some can match a given protocol. Goal: at most twice the time.

![a hundred routes ÷ one](benchmarks/routes.svg)

{table(head, rows)}
"""


# ---- crawl ---------------------------------------------------------------------------------------------------------------------

KINDS = {
    "http1-fields": "HTTP/1, many fields",
    "http1-line": "HTTP/1, one long line",
    "http2-block": "HTTP/2, header block in CONTINUATIONs",
    "tls-hello": "TLS ClientHello over records",
}
SIZES = [1024, 4096, 16384, 65536]


def measure_crawl(setting):
    askers = {"rust": Asker([MICRO, "ask"], cpu=0)}
    samples = {}
    for kind in KINDS:
        cases = [("rust", f"crawl/{kind}/{size}") for size in SIZES]
        samples |= interleaved(setting, askers, cases, setting.rounds(31, 5), setting.rounds(30, 10))
    end(askers)
    return {"samples": samples}


def report_crawl(data, plots):
    rows, chart = [], []
    for kind, text in KINDS.items():
        each = [[time / size for time in data["samples"][f"crawl/{kind}/{size}"]["thread"]] for size in SIZES]
        growth = [ratios(larger, each[0]) for larger in each[1:]]
        found = {spread.at_most(1.2) for spread in growth}
        met = SHORT if SHORT in found else UNCLEAR if UNCLEAR in found else MET
        rows.append([text, *(f"{statistics.median(e):.2f} ns" for e in each), *(spread.text(times) for spread in growth), met])
        chart += [(f"{text.split(',')[0]} {kind.split('-')[1]}, {size // 1024} KiB", Spread(e), "a") for size, e in zip(SIZES, each)] + [None]
    plots["crawl"] = plot.bars("Openings byte by byte: time for a byte", "median, line: quartiles", chart, lambda value: f"{value:.1f} ns")
    return f"""## Openings byte by byte
Each byte is told to the machine by itself, up to a verdict at the last one. Goal: what a byte costs does not grow with how many came before,
by more than 20 % from 1 KiB to 64 KiB.

![time for a byte](benchmarks/crawl.svg)

{table(["opening", "1 KiB", "4 KiB", "16 KiB", "64 KiB", "4 ÷ 1", "16 ÷ 1", "64 ÷ 1", "goal"], rows)}
"""


# ---- HPACK ---------------------------------------------------------------------------------------------------------------------


def measure_hpack(setting):
    files = [stories.FILE] if stories.prepare(setting) else []
    names = [name for name in output([MICRO, "list", *files]).splitlines() if name.startswith("hpack-ours/")]
    askers = with_askers(*files)
    samples = {}
    for name in names:
        source = name.removeprefix("hpack-ours/")
        cases = [("rust", name), ("rust", f"hpack-fluke/{source}"), ("go", f"hpack-xnet/{source}")]
        is_story = source.rsplit("/", 1)[0].rsplit("-", 1)[-1].isdigit() and files
        taken = interleaved(setting, askers, cases, setting.rounds(9 if is_story else 21, 3), setting.rounds(5, 1))
        samples |= {name: {"thread": times["thread"]} for name, times in taken.items()}
    end(askers)
    return {"samples": samples, "sources": [name.removeprefix("hpack-ours/") for name in names], "flights": [name for name, *_ in flights()]}


def report_hpack(data, plots):
    samples = data["samples"]
    groups = {}
    recorded = set(data["flights"])
    for source in data["sources"]:
        story, part = source.rsplit("/", 1)
        who = "flights" if story in recorded else story.rsplit("-", 1)[0]
        times_of = [samples[f"hpack-{whose}/{source}"]["thread"] for whose in ("ours", "fluke", "xnet")]
        groups.setdefault((who, "first" if part == "first" else "all"), []).append(times_of)
    rows, chart = [], []
    for (who, part), all_ in sorted(groups.items(), key=lambda item: (item[0][0] != "flights", item[0])):
        fluke = [ratios(f, o).median for o, f, _ in all_]
        xnet = [ratios(x, o).median for o, _, x in all_]
        met = "met" if min(fluke + xnet) > 1 else "**short**"
        rows.append([who, part, len(all_), Spread(fluke).text(times), times(min(fluke)), Spread(xnet).text(times), times(min(xnet)), met])
        chart += [(f"{who}, {part}: fluke-hpack", Spread(fluke), "a"), ("x/net", Spread(xnet), "c")]
    plots["hpack"] = plot.bars(
        "HPACK decoding: others take this many times as long", "median of the stories, line: quartiles", chart, lambda value: f"{times(value)} ×", (1, "as fast")
    )
    count = sum(len(all_) for (who, part), all_ in groups.items() if who != "flights" and part == "first")
    encoders = len({who for who, _ in groups} - {"flights"})
    head = ["written by", "blocks", "stories", "fluke-hpack ÷ ours", "least", "x/net ÷ ours", "least", "faster on each"]
    return f"""## HPACK decoding
Real blocks: the first one of each recorded HTTP/2 flight, and {count} stories by {encoders} encoders ([http2jp/hpack-test-case]({stories.HOME}); each a connection of its
own). "First" is the first block with a new decoder, which is what a verdict needs; "all" is the whole connection, each block with the table that those before it
have left. Every field is looked at, nothing is stored: fluke-hpack by its form with a callback, which copies least. Goal: faster on every story, and on every first block; the least of
the stories is beside the median. That a single block in the middle of a story is faster was not measured.

Hundreds of times are no merit of ours: fluke-hpack 0.3.1 makes a table of tables by hash for each string that is Huffman-coded, and then looks each code up bit by bit. Where strings are plain
(haskell-http2-naive, swift-nio-hpack-plain-text) it is two to three times. x/net is the one to be compared with.

The decoder inside of the crate h2 has no fair way in: it is private, `h2::Codec` (behind the feature `unstable`) reads frames and builds a
`HeaderMap` around it, and the bridge for fuzzing decodes with a table of size 0. golang.org/x/net/http2/hpack, which cmux decodes with, is there instead.

![others ÷ ours](benchmarks/hpack.svg)

{table(head, rows)}
"""
