"""httpx as a client: `http1` or `http2` (h2c with prior knowledge) first."""

import sys
import time

import h2.exceptions
import httpx

import common
from common import BIG, LIMIT, burst, lines, pattern, sha

VERSION = sys.argv.pop(1)


def dial(addr):
    return httpx.Client(
        base_url=f"http://{addr}",
        http1=VERSION == "http1",
        http2=VERSION == "http2",
        timeout=LIMIT,
        trust_env=False,
        limits=httpx.Limits(max_connections=1, keepalive_expiry=None),
    )


def request(web, method, path, content=None):
    body, seen = bytearray(), {"end": "no response"}
    try:
        with web.stream(method, path, content=content) as answer:
            seen = {"status": answer.status_code, "proto": answer.http_version, "headers": lines(answer.headers.multi_items())}
            for piece in answer.iter_raw():
                body += piece
            seen["end"] = "whole"
    except (httpx.TransportError, h2.exceptions.ProtocolError):
        seen["end"] = "cut" if "status" in seen else "no response"
    seen["sha"] = sha(bytes(body))
    return seen


def one(addr, _):
    with dial(addr) as web:
        seen = request(web, "GET", "/hello")
    return seen, seen.get("status") == 200 and seen["sha"] == sha(b"hello\n")


def many(addr, _):
    distinct = {}
    with dial(addr) as web:
        for _i in range(200):
            seen = request(web, "GET", "/hello")
            key = f"status {seen.get('status')}, body {seen['sha']}"
            distinct[key] = distinct.get(key, 0) + 1
    return distinct, distinct.get(f"status 200, body {sha(b'hello' + bytes([10]))}") == 200


def bidi(addr, _):
    """httpx reads only when all is sent: a stream up, then a stream down."""
    pieces = [pattern(1000 + i) for i in range(20)]

    def paced():
        for piece in pieces:
            yield piece
            time.sleep(0.005)

    with dial(addr) as web:
        seen = request(web, "POST", "/echo", paced())
    return seen, seen["sha"] == sha(b"".join(pieces))


def big(addr, _):
    body = pattern(BIG)
    with dial(addr) as web:
        up, down = request(web, "POST", "/echo", body), request(web, "GET", "/big")
    return [up, down], up["sha"] == down["sha"] == sha(body)


def ends(addr, _):
    with dial(addr) as web:
        missing, cut = request(web, "GET", "/missing"), request(web, "GET", "/cut")
    # How much of a cut body arrives before the cut is a race.
    cut["sha"] = ""
    return [missing, cut], missing.get("status") == 404


def idle(addr, seconds):
    with dial(addr) as web:
        before = request(web, "GET", "/hello")
        time.sleep(seconds)
        after = request(web, "GET", "/hello")
    return [before, after], before.get("status") == after.get("status") == 200


def at_once(addr, _):
    def run():
        with dial(addr) as web:
            return request(web, "GET", "/hello")

    seen = burst(run)
    return seen, all(one.get("status") == 200 for one in seen)


def refused(addr, _, another=False):
    with dial(addr) as web:
        begin = time.perf_counter()
        seen = request(web, "GET", "/hello")
        told = {"saw": str(seen.get("status", seen["end"])), "millis": (time.perf_counter() - begin) * 1000}
        time.sleep(0.3)  # a reconnection would be seen
        if another:
            after = request(web, "GET", "/echo")
            told["then"] = str(after.get("status", after["end"]))
    return told, True


def refused_then_served(addr, _):
    return refused(addr, _, another=True)


def first(addr):
    with dial(addr) as web:
        if request(web, "GET", "/hello").get("status") != 200:
            raise SystemExit("the first request failed")


common.client(
    {"one": one, "many": many, "bidi": bidi, "big": big, "ends": ends, "idle": idle, "burst": at_once, "refused": refused,
     "refused-then-served": refused_then_served},
    first,
)
