// grpc-js as a client; messages are opaque bytes.

import grpc from "@grpc/grpc-js";
import { BIDI, BIG, FAIL, HANG, HEALTH, LIMIT, UNARY, atOnce, client, lines, pattern, sha, sleep, tally } from "./common.mjs";

const identity = (bytes) => bytes;

function dial(addr) {
  return new grpc.Client(addr, grpc.credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1, // a connection of its own
    "grpc.enable_http_proxy": 0,
    "grpc.max_receive_message_length": 8 << 20,
    "grpc.max_send_message_length": 8 << 20,
    "grpc.keepalive_time_ms": 1000,
    "grpc.keepalive_timeout_ms": 5000,
    "grpc.keepalive_permit_without_calls": 1,
  });
}

function call(channel, method, message = Buffer.alloc(0), within = LIMIT) {
  return new Promise((resolve) => {
    const seen = { code: 0, headers: [], trailers: [], sha: "" };
    const options = { deadline: Date.now() + within };
    const done = (error, answer) => {
      seen.sha = sha(answer);
      if (error) seen.code = error.code;
      if (error?.code === 9) seen.message = error.details;
      // The status comes behind the answer.
      setImmediate(() => resolve(seen));
    };
    const rpc = channel.makeUnaryRequest(method, identity, identity, message, new grpc.Metadata(), options, done);
    rpc.on("metadata", (metadata) => (seen.headers = lines(metadata.getMap())));
    rpc.on("status", (status) => (seen.trailers = lines(status.metadata.getMap())));
  });
}

async function using(addr, use) {
  const channel = dial(addr);
  try {
    return await use(channel);
  } finally {
    channel.close();
  }
}

const one = (addr) =>
  using(addr, async (channel) => {
    const [health, unary] = [await call(channel, HEALTH), await call(channel, UNARY, Buffer.from("hello"))];
    return [[health, unary], health.code === 0 && unary.code === 0 && unary.sha === sha("hello")];
  });

const many = (addr) =>
  using(addr, async (channel) => {
    const answers = [];
    for (let i = 0; i < 200; i++) {
      const message = Buffer.from(`message ${i}`);
      const seen = await call(channel, UNARY, message);
      answers.push(`code ${seen.code}, echoed ${seen.sha === sha(message)}`);
    }
    const distinct = tally(answers);
    return [distinct, distinct["code 0, echoed true"] === 200];
  });

/** Sends each message only when the one before has come back. */
const bidi = (addr) =>
  using(
    addr,
    (channel) =>
      new Promise((resolve) => {
        const stream = channel.makeBidiStreamRequest(BIDI, identity, identity, new grpc.Metadata(), { deadline: Date.now() + LIMIT });
        let echoed = 0;
        const next = () => (echoed < 20 ? stream.write(pattern(1000 + echoed)) : stream.end());
        stream.on("data", (message) => {
          if (!message.equals(pattern(1000 + echoed))) return stream.cancel();
          echoed++;
          next();
        });
        stream.on("error", () => {}); // the status tells
        stream.on("status", (status) => {
          const obs = { echoed, code: status.code, trailers: lines(status.metadata.getMap()) };
          resolve([obs, echoed === 20 && status.code === 0]);
        });
        next();
      }),
  );

const big = (addr) =>
  using(addr, async (channel) => {
    const seen = await call(channel, UNARY, pattern(BIG));
    return [seen, seen.code === 0 && seen.sha === sha(pattern(BIG))];
  });

const ends = (addr) =>
  using(addr, async (channel) => {
    const failed = await call(channel, FAIL);
    const hung = await call(channel, HANG, undefined, 300);
    const after = await call(channel, UNARY, Buffer.from("after"));
    // What a cut call has received of its headers is a race, and so is who ends it: the client at its deadline or the
    // server, which knows it too.
    hung.headers = hung.trailers = null;
    if (hung.code === 1) hung.code = 4;
    return [[failed, hung, after], failed.code === 9 && hung.code === 4 && after.code === 0];
  });

const idle = (addr, millis) =>
  using(addr, async (channel) => {
    const ready = await new Promise((resolve) => channel.waitForReady(Date.now() + 10_000, (error) => resolve(!error)));
    await sleep(millis);
    const before = await call(channel, UNARY, Buffer.from("first"));
    await sleep(millis / 4);
    const after = await call(channel, UNARY, Buffer.from("second"));
    return [[ready, before, after], ready && before.code === 0 && after.code === 0];
  });

const burst = async (addr) => {
  const seen = await atOnce(() => using(addr, (channel) => call(channel, UNARY, Buffer.from("burst"))));
  return [seen, seen.every((call) => call.code === 0)];
};

const refused = (addr, _, another = false) =>
  using(addr, async (channel) => {
    const begin = performance.now();
    const seen = await call(channel, UNARY, Buffer.from("refused"));
    const told = { saw: `code ${seen.code}`, millis: performance.now() - begin };
    await sleep(300); // a reconnection would be seen
    if (another) told.then = `code ${(await call(channel, HEALTH)).code}`;
    return [told, true];
  });

const refusedThenServed = (addr) => refused(addr, 0, true);

async function first(addr) {
  const seen = await using(addr, (channel) => call(channel, UNARY, Buffer.from("first")));
  if (seen.code !== 0) throw new Error(`code ${seen.code}`);
}

await client({ one, many, bidi, big, ends, idle, burst, refused, "refused-then-served": refusedThenServed }, first);
