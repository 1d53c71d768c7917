package peers;

import io.grpc.HandlerRegistry;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerMethodDefinition;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import java.net.InetSocketAddress;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** grpc-java on netty as a backend. */
final class EchoServer {
    private static final Set<String> METHODS = Set.of(Main.HEALTH, Main.UNARY, Main.BIDI, Main.FAIL, Main.HANG);

    static void run() throws Exception {
        Server server =
                NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
                        .maxInboundMessageSize(Main.MAX_MESSAGE)
                        .permitKeepAliveTime(500, TimeUnit.MILLISECONDS)
                        .permitKeepAliveWithoutCalls(true)
                        .fallbackHandlerRegistry(new Registry())
                        .build()
                        .start();
        System.out.println("listening on 127.0.0.1:" + server.getPort());
        System.out.flush();
        while (System.in.read() >= 0) {
            // Nothing is said there; its end is the driver's.
        }
        server.shutdownNow();
        System.exit(0);
    }

    private static final class Registry extends HandlerRegistry {
        @Override
        public ServerMethodDefinition<?, ?> lookupMethod(String name, String authority) {
            if (!METHODS.contains(name)) {
                return null;
            }
            return ServerMethodDefinition.create(Main.method(name, MethodType.BIDI_STREAMING), new Handler(name));
        }
    }

    private record Handler(String name) implements ServerCallHandler<byte[], byte[]> {
        @Override
        public ServerCall.Listener<byte[]> startCall(ServerCall<byte[], byte[]> call, Metadata headers) {
            Metadata trailers = new Metadata();
            trailers.put(Metadata.Key.of("x-trailer", Metadata.ASCII_STRING_MARSHALLER), "end");
            if (name.equals(Main.FAIL)) {
                call.close(Status.FAILED_PRECONDITION.withDescription("as asked"), trailers);
                return new ServerCall.Listener<>() {};
            }
            Metadata answer = new Metadata();
            answer.put(Metadata.Key.of("x-peer", Metadata.ASCII_STRING_MARSHALLER), "echo");
            call.sendHeaders(answer);
            call.request(1);
            return new ServerCall.Listener<>() {
                @Override
                public void onMessage(byte[] message) {
                    if (name.equals(Main.UNARY) || name.equals(Main.BIDI)) {
                        call.sendMessage(message);
                    }
                    call.request(1);
                }

                @Override
                public void onHalfClose() {
                    if (name.equals(Main.HANG)) {
                        return;
                    }
                    if (name.equals(Main.HEALTH)) {
                        call.sendMessage(new byte[] {0x08, 0x01}); // HealthCheckResponse{status: SERVING}
                    }
                    call.close(Status.OK, trailers);
                }
            };
        }
    }

    private EchoServer() {}
}
