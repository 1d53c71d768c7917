"""What the Python peers share: the command line, the bodies, the hashes."""

import hashlib
import json
import os
import sys
import threading
import time

HEALTH = "/grpc.health.v1.Health/Check"
UNARY = "/oneport.interop.Echo/Unary"
BIDI = "/oneport.interop.Echo/Bidi"
FAIL = "/oneport.interop.Echo/Fail"
HANG = "/oneport.interop.Echo/Hang"

BIG = 4 << 20
LIMIT = 30


def pattern(size):
    """A body that shows lost, doubled and swapped pieces in its hash."""
    state, body = size, bytearray(size)
    for i in range(size):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        body[i] = state >> 24
    return bytes(body)


def sha(body):
    return hashlib.sha256(body or b"").hexdigest()[:16]


def lines(fields):
    """Header fields in an order that does not depend on the run, less the date."""
    return sorted(f"{name.lower()}: {value}" for name, value in fields if name.lower() != "date")


def client(scenarios, first):
    """`ADDR SCENARIO… [idle=SECONDS]` or `fresh N ADDR…`; one JSON line each."""
    if sys.argv[1] == "fresh":
        millis = [[] for _ in sys.argv[3:]]
        for _ in range(int(sys.argv[2])):
            for i, addr in enumerate(sys.argv[3:]):
                begin = time.perf_counter()
                first(addr)
                millis[i].append(round((time.perf_counter() - begin) * 1000, 3))
        print(json.dumps(millis), flush=True)
        return
    addr, idle = sys.argv[1], 11.0
    for name in sys.argv[2:]:
        if name.startswith("idle="):
            idle = float(name[5:])
            continue
        obs, ok = scenarios[name](addr, idle)
        print(json.dumps({"scenario": name, "ok": bool(ok), "obs": obs}), flush=True)


def until_stdin_ends():
    """Keeps a server from outliving its driver."""

    def wait():
        while sys.stdin.buffer.read(1):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def burst(one):
    """Twenty at once, each in a thread."""
    seen = [None] * 20

    def run(i):
        seen[i] = one()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen
