package peers;

import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * The Java peers of the interop suite: {@code serve}, which prints {@code listening on ADDR} and ends when stdin does,
 * and {@code client ADDR SCENARIO… [idle=SECONDS]}.
 */
final class Main {
    static final String HEALTH = "grpc.health.v1.Health/Check";
    static final String UNARY = "oneport.interop.Echo/Unary";
    static final String BIDI = "oneport.interop.Echo/Bidi";
    static final String FAIL = "oneport.interop.Echo/Fail";
    static final String HANG = "oneport.interop.Echo/Hang";

    static final int MAX_MESSAGE = 8 << 20;

    /** Messages are the bytes they are, so that no peer needs protoc. */
    private static final class Raw implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream message) {
            try {
                return message.readAllBytes();
            } catch (IOException impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }

    static MethodDescriptor<byte[], byte[]> method(String name, MethodType type) {
        return MethodDescriptor.newBuilder(new Raw(), new Raw()).setFullMethodName(name).setType(type).build();
    }

    /** A body that shows lost, doubled and swapped pieces in its hash. */
    static byte[] pattern(int size) {
        byte[] body = new byte[size];
        int state = size;
        for (int i = 0; i < size; i++) {
            state = state * 1664525 + 1013904223;
            body[i] = (byte) (state >>> 24);
        }
        return body;
    }

    static String sha(byte[] body) {
        try {
            byte[] sum = MessageDigest.getInstance("SHA-256").digest(body);
            return HexFormat.of().formatHex(sum, 0, 8);
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    public static void main(String[] args) throws Exception {
        if (args.length > 0 && args[0].equals("serve")) {
            EchoServer.run();
        } else if (args.length > 2 && args[0].equals("client")) {
            EchoClient.run(args[1], java.util.Arrays.asList(args).subList(2, args.length));
            System.exit(0);
        } else {
            System.err.println("usage: serve | client ADDR SCENARIO…");
            System.exit(2);
        }
    }

    private Main() {}
}
