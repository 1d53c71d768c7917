"""grpcio (C-core) as a client; messages are opaque bytes."""

import threading
import time

import grpc

import common
from common import BIDI, BIG, FAIL, HANG, HEALTH, LIMIT, UNARY, burst, lines, pattern, sha


def dial(addr):
    return grpc.insecure_channel(
        addr,
        options=[
            ("grpc.use_local_subchannel_pool", 1),  # a connection of its own
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", 8 << 20),
            ("grpc.max_send_message_length", 8 << 20),
            ("grpc.keepalive_time_ms", 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.min_sent_ping_interval_without_data_ms", 1000),
        ],
    )


def call(channel, method, message=b"", within=LIMIT):
    try:
        answer, rpc = channel.unary_unary(method).with_call(message, timeout=within)
        code = rpc.code()
    except grpc.RpcError as error:
        answer, rpc, code = None, error, error.code()
    seen = {
        "code": code.value[0],
        "headers": lines((name, str(value)) for name, value in rpc.initial_metadata() or ()),
        "trailers": lines((name, str(value)) for name, value in rpc.trailing_metadata() or ()),
        "sha": sha(answer),
    }
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        seen["message"] = rpc.details()
    return seen


def one(addr, _):
    with dial(addr) as channel:
        health, unary = call(channel, HEALTH), call(channel, UNARY, b"hello")
    return [health, unary], health["code"] == unary["code"] == 0 and unary["sha"] == sha(b"hello")


def many(addr, _):
    distinct = {}
    with dial(addr) as channel:
        for i in range(200):
            message = b"message %d" % i
            seen = call(channel, UNARY, message)
            key = f"code {seen['code']}, echoed {seen['sha'] == sha(message)}"
            distinct[key] = distinct.get(key, 0) + 1
    return distinct, distinct.get("code 0, echoed True") == 200


def bidi(addr, _):
    """Sends each message only when the one before has come back."""
    with dial(addr) as channel:
        last, echoed = [pattern(1000)], 0

        def messages():
            for i in range(20):
                last[0] = pattern(1000 + i)
                yield last[0]
                came_back.acquire(timeout=LIMIT)

        came_back = threading.Semaphore(0)
        stream = channel.stream_stream(BIDI)(messages(), timeout=LIMIT)
        try:
            for message in stream:
                echoed += message == last[0]
                came_back.release()
        except grpc.RpcError:
            came_back.release(20)
        code = stream.code().value[0]
        trailers = lines((name, str(value)) for name, value in stream.trailing_metadata() or ())
    return {"echoed": echoed, "code": code, "trailers": trailers}, echoed == 20 and code == 0


def big(addr, _):
    body = pattern(BIG)
    with dial(addr) as channel:
        seen = call(channel, UNARY, body)
    return seen, seen["code"] == 0 and seen["sha"] == sha(body)


def ends(addr, _):
    with dial(addr) as channel:
        failed = call(channel, FAIL)
        hung = call(channel, HANG, within=0.3)
        after = call(channel, UNARY, b"after")
    # What a cut call has received of its headers is a race, and so is who ends it: the client at its deadline or the
    # server, which knows it too.
    hung["headers"] = hung["trailers"] = None
    if hung["code"] == 1:
        hung["code"] = 4
    return [failed, hung, after], (failed["code"], hung["code"], after["code"]) == (9, 4, 0)


def idle(addr, seconds):
    with dial(addr) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=10)
            ready = True
        except grpc.FutureTimeoutError:
            ready = False
        time.sleep(seconds)
        before = call(channel, UNARY, b"first")
        time.sleep(seconds / 4)
        after = call(channel, UNARY, b"second")
    return [ready, before, after], ready and before["code"] == after["code"] == 0


def at_once(addr, _):
    def run():
        with dial(addr) as channel:
            return call(channel, UNARY, b"burst")

    seen = burst(run)
    return seen, all(call["code"] == 0 for call in seen)


def refused(addr, _, another=False):
    with dial(addr) as channel:
        begin = time.perf_counter()
        seen = call(channel, UNARY, b"refused")
        told = {"saw": f"code {seen['code']}", "millis": (time.perf_counter() - begin) * 1000}
        time.sleep(0.3)  # a reconnection would be seen
        if another:
            told["then"] = f"code {call(channel, HEALTH)['code']}"
    return told, True


def refused_then_served(addr, _):
    return refused(addr, _, another=True)


def first(addr):
    with dial(addr) as channel:
        # The one call that the servers of others have, too.
        if call(channel, HEALTH)["code"] != 0:
            raise SystemExit("the first call failed")


common.client(
    {"one": one, "many": many, "bidi": bidi, "big": big, "ends": ends, "idle": idle, "burst": at_once, "refused": refused,
     "refused-then-served": refused_then_served},
    first,
)
