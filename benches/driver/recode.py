"""HPACK towards the far side: a dynamic table, stateless literals, or the block forwarded as it came; time and bytes."""

import statistics

import plot
import stories
from micro import MICRO
from parts import table
from processes import PROGRAMS, Asker, output
from stats import Spread, duration, rounds_of

WAYS = {"table": "dynamic table", "plain": "literals", "huffman": "literals, Huffman"}
CLIENTS = {"curl-h2c-prior": "curl", "envoy-upstream": "Envoy", "grpc-go-1.33": "grpc-go", "grpcio-1.85": "grpcio", "h2load": "h2load"}


def measure(setting):
    files = [stories.FILE] if stories.prepare(setting) else []
    sizes = {}
    for line in output([PROGRAMS / "allocations", "sizes", *files]).splitlines():
        name, count, size = line.split()
        sizes[name] = [int(count), int(size)]
    names = [f"recode-{what}/{name}" for name in sizes for what in ("write", "read")]
    asker = Asker([MICRO, "ask", *files], cpu=0)
    few = [name for name in names if "/story-" not in name]
    many = [name for name in names if "/story-" in name]
    taken = rounds_of(setting.rounds(31, 3), few, lambda name: asker.ask(name, setting.rounds(5, 2)))
    taken |= rounds_of(setting.rounds(5, 1), many, lambda name: asker.ask(name, setting.rounds(5, 2)))
    asker.end()
    return {"sizes": sizes, "cpu": {name: [cpu for _, cpu in all_] for name, all_ in taken.items()}}


def each(data, what, source, way):
    """Round by round, nanoseconds of a block."""
    count = data["sizes"][f"{source}/{way}"][0]
    return [cpu / count for cpu in data["cpu"][f"recode-{what}/{source}/{way}"]]


def row(who, part, cells):
    """`cells` by way: (write, read, bytes) of a block."""
    (tw, tr, tb), (pw, pr, pb), (hw, hr, hb) = (cells[way] for way in WAYS)
    return [
        who, part, duration(tr),
        f"{duration(tw)}, {tb:.0f} B", f"{duration(pw)}, {pb:.0f} B", f"{duration(hw)}, {hb:.0f} B",
        f"**{duration(tr + tw)}**", duration(tr + pw), duration(tr + hw), f"{duration(hr)}, {hb:.0f} B",
        f"{duration(tr + tw + tr)}", duration(tr + pw + pr), duration(hr + hr),
    ]


def report(data, plots):
    rows, chart, names = [], [], list(data["sizes"])
    for client, who in CLIENTS.items():
        for part in ("first", "next"):
            source = f"{client}/{part}"
            cells = {}
            for way in WAYS:
                count, size = data["sizes"][f"{source}/{way}"]
                cells[way] = (statistics.median(each(data, "write", source, way)), statistics.median(each(data, "read", source, way)), size / count)
            rows.append(row(who, part, cells))
        source = f"{client}/next"
        read = each(data, "read", source, "table")
        add = lambda way: Spread([r + w for r, w in zip(read, each(data, "write", source, way), strict=True)])
        chart += [(f"{who}: dynamic table", add("table"), "a"), ("literals", add("plain"), "c"), ("literals, Huffman", add("huffman"), "c")]
        chart += [("forwarded", Spread(each(data, "read", source, "huffman")), "b"), None]
    found = sorted({name.split("/")[0] for name in names if name.startswith("story-")})
    if found:
        cells = {}
        for way in WAYS:
            blocks = sum(data["sizes"][f"{story}/whole/{way}"][0] for story in found)
            total = lambda what: sum(statistics.median(data["cpu"][f"recode-{what}/{story}/whole/{way}"]) for story in found)
            cells[way] = (total("write") / blocks, total("read") / blocks, sum(data["sizes"][f"{story}/whole/{way}"][1] for story in found) / blocks)
        rows.append(row(f"browser ({len(found)} stories)", "all", cells))
    plots["recode"] = plot.bars(
        "A following header block: reading it, and writing it for the backend", "processor time; median, line: quartiles", chart, duration
    )
    head = [
        "client", "block", "decode", "encode: dynamic table", "literals", "literals, Huffman",
        "in all: dynamic table", "literals", "literals, Huffman", "forwarded", "with the backend: dynamic table", "literals", "forwarded",
    ]
    return f"""## HPACK towards the far side
What a request's header block costs by the way in which it is passed on. "Decode" is what the machine has to do with every block, as a client with a dynamic table writes it; the ways of encoding: with a dynamic
table, which is what the machine does; literals with the static table only, without and with Huffman coding. "Forwarded": nothing is encoded, but then the client must have no dynamic table either (it was told a
HEADER_TABLE_SIZE of 0), and what is decoded is a block of Huffman-coded literals. The last three columns add what the backend has to decode, if it were as fast as we are.
Lists of the recorded clients, first block and following ones (`x-request-id` and `grpc-timeout` differ from request to request), and of the stories of a browser.

![a following block](benchmarks/recode.svg)

{table(head, rows)}
"""
