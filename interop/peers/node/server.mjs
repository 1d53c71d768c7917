// Node's http2 as a backend: `plain`, `0x9` (announces NO_RFC7540_PRIORITIES) or `1-stream`
// (MAX_CONCURRENT_STREAMS 1). A gRPC call is answered too: an echo of the body is an echo of its messages.

import http2 from "node:http2";
import { BIG, FAIL, HANG, HEALTH, HELLO, BIDI, UNARY, pattern } from "./common.mjs";

const settings = {
  plain: {},
  "0x9": { customSettings: { 9: 1 } },
  "1-stream": { maxConcurrentStreams: 1 },
}[process.argv[2]];

const server = http2.createServer({ settings, remoteCustomSettings: [9] });

server.on("stream", (stream, headers) => {
  stream.on("error", () => {}); // the client's affair
  if (headers["content-type"]?.startsWith("application/grpc")) grpc(stream, headers[":path"]);
  else rest(stream, headers[":path"].split("?")[0]);
});

function rest(stream, path) {
  const peer = { "x-peer": "rest" };
  switch (path) {
    case "/hello":
      stream.respond({ ":status": 200, "content-length": HELLO.length, "content-type": "text/plain", ...peer });
      stream.end(HELLO);
      break;
    case "/big":
      stream.respond({ ":status": 200, ...peer });
      stream.end(pattern(BIG));
      break;
    case "/echo":
      stream.respond({ ":status": 200, "content-type": "application/octet-stream", ...peer });
      stream.pipe(stream);
      break;
    case "/cut": // promises more than it gives, then breaks off
      stream.respond({ ":status": 200, "content-length": 100000, ...peer });
      stream.write(pattern(1000));
      // A pause, so that the client reads what came before; close() would end the body in good order first.
      setTimeout(() => stream.destroy(new Error("cut")), 50);
      break;
    default:
      stream.respond({ ":status": 404, ...peer });
      stream.end("not found\n");
  }
}

function grpc(stream, path) {
  const head = { ":status": 200, "content-type": "application/grpc" };
  if (path === FAIL) {
    stream.respond({ ...head, "grpc-status": 9, "grpc-message": "as asked", "x-trailer": "end" }, { endStream: true });
    return;
  }
  if (![HEALTH, UNARY, BIDI, HANG].includes(path)) {
    stream.respond({ ...head, "grpc-status": 12 }, { endStream: true });
    return;
  }
  stream.respond({ ...head, "x-peer": "echo" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": 0, "x-trailer": "end" }));
  // Not before the request has ended: a client whose answer came early may open its next stream before it ends this one.
  if (path === HEALTH) stream.resume().on("end", () => stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01])));
  else if (path !== HANG) stream.pipe(stream);
}

server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
process.stdin.resume().on("end", () => process.exit(0)); // must not outlive its driver
