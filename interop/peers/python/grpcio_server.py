"""grpcio (C-core) as a backend; messages are opaque bytes."""

from concurrent import futures

import grpc

import common


def answer(method):
    def handle(requests, context):
        if method == common.FAIL:
            context.set_trailing_metadata((("x-trailer", "end"),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
        context.send_initial_metadata((("x-peer", "echo"),))
        context.set_trailing_metadata((("x-trailer", "end"),))
        if method == common.HEALTH:
            next(requests, None)
            yield b"\x08\x01"  # HealthCheckResponse{status: SERVING}
        elif method == common.HANG:
            ended = futures.Future()
            context.add_callback(lambda: ended.set_result(None))
            ended.result()
        else:
            yield from requests

    return handle


class Handlers(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method in (common.HEALTH, common.UNARY, common.BIDI, common.FAIL, common.HANG):
            return grpc.stream_stream_rpc_method_handler(answer(details.method))
        return None


def main():
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=64),
        handlers=[Handlers()],
        options=[
            ("grpc.max_receive_message_length", 8 << 20),
            ("grpc.max_send_message_length", 8 << 20),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    common.until_stdin_ends()
    server.wait_for_termination()


main()
