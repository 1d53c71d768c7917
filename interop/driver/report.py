"""What was found, as Markdown: the table, the versions, the measurements. No machine's name or path gets in."""

import datetime

from peers import BACKENDS, CLIENTS


def render(required, found, quick):
    out = ["# Interoperability", ""]
    out += ["Written by `interop/run`: real clients and real servers, with `oneport serve` between them. "
            "Each cell ran without oneport, through it, and through it with the opening cut in pieces, the latter two by connection and "
            "with `--per-request`; "
            "status, headers, hash of the body, grpc-status and way of ending must be the same each time.", ""]
    out += [f"Run on {datetime.date.today()}{' (quick)' if quick else ''}.", ""]
    if "cells" in found:
        out += table(required, found["cells"])
    for part in ("scene", "refusals", "envoy", "goaway", "timing"):
        if part in found:
            out += found[part].render()
    out += ["## Versions", ""]
    out += [f"- {name} {version}" for name, version in found["versions"].items()]
    return "\n".join(out) + "\n"


def table(required, cells):
    reasons = sorted(set(required.exceptions.values()))
    whys = sorted({why for pair in required.pairs for why in (pair.why, pair.why_per_request) if why})
    marks = {text: chr(ord("a") + i) for i, text in enumerate(whys)}
    clients = [client for client in CLIENTS if any(key[0] == client for key in cells)]
    backends = [backend for backend in BACKENDS if any(key[1] == backend for key in cells)]
    out = ["## Clients and backends", ""]
    out += ["| client \\ backend | " + " | ".join(backends) + " |", "|---" * (len(backends) + 1) + "|"]
    for client in clients:
        row = []
        for backend in backends:
            cell = cells.get((client, backend))
            if cell:
                pair = cell.pair
                words = [expect if cell.passed(routing) else "**FAIL**" for expect, routing in
                         ((pair.expect, "connection"), (pair.expect_per_request, "request"))]
                why = [f" ({marks[why]})" if why else "" for why in (pair.why, pair.why_per_request or pair.why)]
                row.append(f"{words[0]}{why[0]} · {words[1]}{why[1]}")
            elif (client, backend) in required.exceptions:
                row.append(str(1 + reasons.index(required.exceptions[client, backend])))
            else:
                row.append("not run")
        out.append(f"| {client} | " + " | ".join(row) + " |")
    out += ["", "Each cell: by connection · with `--per-request` (which routes connections that are not HTTP/2 as before).", "",
            "ok: all scenarios worked, and looked the same as without oneport. "
                "same: the pair cannot work, and fails in the same way as without oneport. "
                "fails: it fails with oneport as well, in words of its own.", ""]
    out += [f"- ({mark}) {text}" for text, mark in marks.items()]
    out += [f"- {1 + i}: not required: {text}" for i, text in enumerate(reasons)]
    failures = [(key, failure) for key, cell in cells.items() for failure in cell.failures]
    if failures:
        out += ["", "Failures:", ""] + [f"- {key[0]} × {key[1]}: {failure}" for key, failure in failures]
    unsteady = [(key, failure) for key, cell in cells.items() if cell.passed() for failure in cell.unsteady]
    if unsteady:
        out += ["", "Went wrong beside other cells and right alone:", ""]
        out += [f"- {key[0]} × {key[1]}: {failure}" for key, failure in unsteady]
    return out + [""]
