package peers;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** grpc-java on netty as a client. */
final class EchoClient {
    private static final int BIG = 4 << 20;
    private static final long LIMIT = 30_000;
    private static final byte[] NOTHING = {};

    /** What a client may observe of one call, as JSON. */
    private record Seen(int code, String message, List<String> headers, List<String> trailers, String sha) {
        String json() {
            return "{\"code\":" + code + ",\"message\":" + quoted(message) + ",\"headers\":" + quoted(headers)
                    + ",\"trailers\":" + quoted(trailers) + ",\"sha\":" + quoted(sha) + "}";
        }

        /**
         * What a cut call has received of its headers is a race, and so is who ends it: the client at its deadline or
         * the server, which knows it too.
         */
        Seen cut() {
            return new Seen(code == 1 ? 4 : code, message, List.of(), List.of(), sha);
        }
    }

    static void run(String addr, List<String> names) throws Exception {
        double idle = 11;
        for (String name : names) {
            if (name.startsWith("idle=")) {
                idle = Double.parseDouble(name.substring(5));
                continue;
            }
            switch (name) {
                case "one" -> one(addr);
                case "many" -> many(addr);
                case "bidi" -> bidi(addr);
                case "big" -> big(addr);
                case "ends" -> ends(addr);
                case "idle" -> idle(addr, (long) (idle * 1000));
                case "burst" -> burst(addr);
                case "refused" -> refused(addr, false);
                case "refused-then-served" -> refused(addr, true);
                default -> throw new IllegalArgumentException("unknown scenario " + name);
            }
        }
    }

    private static void one(String addr) {
        ManagedChannel channel = dial(addr);
        Seen health = call(channel, Main.HEALTH, NOTHING, LIMIT);
        Seen unary = call(channel, Main.UNARY, "hello".getBytes(), LIMIT);
        boolean ok = health.code == 0 && unary.sha.equals(Main.sha("hello".getBytes()));
        tell("one", ok, list(List.of(health, unary)));
        channel.shutdownNow();
    }

    private static void many(String addr) {
        ManagedChannel channel = dial(addr);
        Map<String, Integer> distinct = new TreeMap<>();
        for (int i = 0; i < 200; i++) {
            byte[] message = ("message " + i).getBytes();
            Seen seen = call(channel, Main.UNARY, message, LIMIT);
            distinct.merge("code " + seen.code + ", echoed " + seen.sha.equals(Main.sha(message)), 1, Integer::sum);
        }
        tell("many", distinct.getOrDefault("code 0, echoed true", 0) == 200, quoted(distinct.toString()));
        channel.shutdownNow();
    }

    /** Sends each message only when the one before has come back. */
    private static void bidi(String addr) throws Exception {
        ManagedChannel channel = dial(addr);
        CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(LIMIT, TimeUnit.MILLISECONDS);
        ClientCall<byte[], byte[]> call = channel.newCall(Main.method(Main.BIDI, MethodType.BIDI_STREAMING), options);
        CountDownLatch closed = new CountDownLatch(1);
        int[] echoed = {0};
        int[] code = {-1};
        List<String> trailing = new ArrayList<>();
        call.start(new ClientCall.Listener<>() {
            @Override
            public void onMessage(byte[] message) {
                if (!Arrays.equals(message, Main.pattern(1000 + echoed[0]))) {
                    call.cancel("another message", null);
                    return;
                }
                if (++echoed[0] < 20) {
                    call.sendMessage(Main.pattern(1000 + echoed[0]));
                } else {
                    call.halfClose();
                }
                call.request(1);
            }

            @Override
            public void onClose(Status status, Metadata trailers) {
                code[0] = status.getCode().value();
                trailing.addAll(lines(trailers));
                closed.countDown();
            }
        }, new Metadata());
        call.sendMessage(Main.pattern(1000));
        call.request(1);
        closed.await(LIMIT * 2, TimeUnit.MILLISECONDS);
        String obs = "{\"echoed\":" + echoed[0] + ",\"code\":" + code[0] + ",\"trailers\":" + quoted(trailing) + "}";
        tell("bidi", echoed[0] == 20 && code[0] == 0, obs);
        channel.shutdownNow();
    }

    private static void big(String addr) {
        ManagedChannel channel = dial(addr);
        Seen seen = call(channel, Main.UNARY, Main.pattern(BIG), LIMIT);
        tell("big", seen.sha.equals(Main.sha(Main.pattern(BIG))), seen.json());
        channel.shutdownNow();
    }

    private static void ends(String addr) {
        ManagedChannel channel = dial(addr);
        Seen failed = call(channel, Main.FAIL, NOTHING, LIMIT);
        Seen hung = call(channel, Main.HANG, NOTHING, 300).cut();
        Seen after = call(channel, Main.UNARY, "after".getBytes(), LIMIT);
        tell("ends", failed.code == 9 && hung.code == 4 && after.code == 0, list(List.of(failed, hung, after)));
        channel.shutdownNow();
    }

    private static void idle(String addr, long millis) throws Exception {
        ManagedChannel channel = dial(addr);
        long until = System.currentTimeMillis() + 10_000;
        while (channel.getState(true) != ConnectivityState.READY && System.currentTimeMillis() < until) {
            Thread.sleep(10);
        }
        boolean ready = channel.getState(false) == ConnectivityState.READY;
        Thread.sleep(millis);
        Seen before = call(channel, Main.UNARY, "first".getBytes(), LIMIT);
        Thread.sleep(millis / 4);
        Seen after = call(channel, Main.UNARY, "second".getBytes(), LIMIT);
        String obs = "[" + ready + "," + before.json() + "," + after.json() + "]";
        tell("idle", ready && before.code == 0 && after.code == 0, obs);
        channel.shutdownNow();
    }

    private static void burst(String addr) {
        List<CompletableFuture<Seen>> calls = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            calls.add(CompletableFuture.supplyAsync(() -> {
                ManagedChannel channel = dial(addr);
                Seen seen = call(channel, Main.UNARY, "burst".getBytes(), LIMIT);
                channel.shutdownNow();
                return seen;
            }, task -> new Thread(task).start()));
        }
        List<Seen> seen = calls.stream().map(CompletableFuture::join).toList();
        tell("burst", seen.stream().allMatch(one -> one.code == 0), list(seen));
    }

    private static void refused(String addr, boolean another) throws Exception {
        ManagedChannel channel = dial(addr);
        long begin = System.nanoTime();
        Seen seen = call(channel, Main.UNARY, "refused".getBytes(), LIMIT);
        double millis = (System.nanoTime() - begin) / 1e6;
        Thread.sleep(300); // a reconnection would be seen
        String then = another ? ",\"then\":\"code " + call(channel, Main.HEALTH, NOTHING, LIMIT).code + "\"" : "";
        tell("refused", true, "{\"saw\":\"code " + seen.code + "\",\"millis\":" + millis + then + "}");
        channel.shutdownNow();
    }

    private static ManagedChannel dial(String addr) {
        int colon = addr.lastIndexOf(':');
        return NettyChannelBuilder.forAddress(addr.substring(0, colon), Integer.parseInt(addr.substring(colon + 1)))
                .usePlaintext()
                .maxInboundMessageSize(Main.MAX_MESSAGE)
                .keepAliveTime(10, TimeUnit.SECONDS) // the least that it takes
                .keepAliveWithoutCalls(true)
                .build();
    }

    private static Seen call(ManagedChannel channel, String method, byte[] message, long within) {
        CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(within, TimeUnit.MILLISECONDS);
        ClientCall<byte[], byte[]> call = channel.newCall(Main.method(method, MethodType.UNARY), options);
        CompletableFuture<Seen> done = new CompletableFuture<>();
        call.start(new ClientCall.Listener<>() {
            private List<String> headers = List.of();
            private byte[] answer = NOTHING;

            @Override
            public void onHeaders(Metadata received) {
                headers = lines(received);
            }

            @Override
            public void onMessage(byte[] received) {
                answer = received;
            }

            @Override
            public void onClose(Status status, Metadata trailers) {
                int code = status.getCode().value();
                String text = code == 9 ? status.getDescription() : "";
                done.complete(new Seen(code, text, headers, lines(trailers), Main.sha(answer)));
            }
        }, new Metadata());
        call.sendMessage(message);
        call.halfClose();
        call.request(2);
        return done.join();
    }

    /**
     * Fields in an order that does not depend on the run, less the date, and less what is no metadata: of a response
     * that is no gRPC the pseudo-header fields come too.
     */
    private static List<String> lines(Metadata fields) {
        List<String> out = new ArrayList<>();
        for (String name : fields.keys()) {
            if (!name.equals("date") && !name.startsWith(":") && !name.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
                out.add(name + ": " + fields.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER)));
            }
        }
        Collections.sort(out);
        return out;
    }

    private static void tell(String scenario, boolean ok, String obs) {
        System.out.println("{\"scenario\":" + quoted(scenario) + ",\"ok\":" + ok + ",\"obs\":" + obs + "}");
        System.out.flush();
    }

    private static String list(List<Seen> seen) {
        return "[" + String.join(",", seen.stream().map(Seen::json).toList()) + "]";
    }

    private static String quoted(List<String> texts) {
        return "[" + String.join(",", texts.stream().map(EchoClient::quoted).toList()) + "]";
    }

    private static String quoted(String text) {
        return text == null ? "null" : "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    private EchoClient() {}
}
