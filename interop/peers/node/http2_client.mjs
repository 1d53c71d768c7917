// Node's http2 as a client.

import http2 from "node:http2";
import { BIG, HELLO, LIMIT, atOnce, client, lines, pattern, sha, sleep, tally } from "./common.mjs";

async function using(addr, use) {
  const session = http2.connect(`http://${addr}`);
  session.ended = "open";
  session.on("error", (error) => (session.ended = error.code));
  session.on("goaway", (code) => (session.ended = `GOAWAY ${code}`));
  try {
    return await use(session);
  } finally {
    session.destroy();
  }
}

function request(session, method, path, body) {
  return new Promise((resolve) => {
    const seen = { status: 0, headers: [], sha: "", end: "whole" };
    // How a connection that carries no HTTP/2 ends is a race of errors; that no response came is not.
    const none = { ...seen, end: "no response" };
    if (session.destroyed || session.closed) return resolve(none);
    const stream = session.request({ ":method": method, ":path": path });
    const pieces = [];
    stream.setTimeout(LIMIT, () => stream.close(http2.constants.NGHTTP2_CANCEL));
    stream.on("response", (headers) => {
      seen.status = headers[":status"];
      seen.headers = lines(headers);
    });
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("error", (error) => (seen.end = error.code));
    stream.on("close", () => {
      seen.sha = sha(Buffer.concat(pieces));
      resolve(seen.status ? seen : none);
    });
    session.once("close", () => setImmediate(resolve, none)); // some streams do not hear of it
    stream.end(body);
  });
}

const one = (addr) =>
  using(addr, async (session) => {
    const seen = await request(session, "GET", "/hello");
    return [seen, seen.status === 200 && seen.sha === sha(HELLO)];
  });

const many = (addr) =>
  using(addr, async (session) => {
    const answers = [];
    for (let i = 0; i < 200; i++) {
      const seen = await request(session, "GET", "/hello");
      answers.push(`status ${seen.status}, body ${seen.sha}, ${seen.end}`);
    }
    const distinct = tally(answers);
    return [[distinct, session.ended], distinct[`status 200, body ${sha(HELLO)}, whole`] === 200];
  });

/** Sends each piece only when the one before has come back, unless the server answers only whole requests. */
const bidi = (addr) =>
  using(
    addr,
    (session) =>
      new Promise((resolve) => {
        const pieces = Array.from({ length: 20 }, (_, i) => pattern(1000 + i));
        const stream = session.request({ ":method": "POST", ":path": "/echo" });
        let duplex = true;
        let [sent, back] = [0, 0];
        const received = [];
        const next = () => {
          if (sent === pieces.length) return stream.end();
          stream.write(pieces[sent++]);
        };
        const giveUp = setTimeout(() => {
          duplex = false;
          while (sent < pieces.length) next();
          stream.end();
        }, 2000);
        stream.on("data", (piece) => {
          received.push(piece);
          back += piece.length;
          const due = pieces.slice(0, sent).reduce((sum, one) => sum + one.length, 0);
          if (duplex && back === due) {
            giveUp.refresh();
            next();
          }
        });
        stream.setTimeout(LIMIT, () => stream.close(http2.constants.NGHTTP2_CANCEL));
        stream.on("error", () => {}); // what came tells
        stream.on("close", () => {
          clearTimeout(giveUp);
          const whole = Buffer.concat(received).equals(Buffer.concat(pieces));
          resolve([{ duplex, whole }, whole]);
        });
        next();
      }),
  );

const big = (addr) =>
  using(addr, async (session) => {
    const up = await request(session, "POST", "/echo", pattern(BIG));
    const down = await request(session, "GET", "/big");
    return [[up, down], up.sha === sha(pattern(BIG)) && down.sha === sha(pattern(BIG))];
  });

const ends = (addr) =>
  using(addr, async (session) => {
    const missing = await request(session, "GET", "/missing");
    const cut = await request(session, "GET", "/cut");
    cut.sha = ""; // how much of a cut body arrives before the cut is a race
    return [[missing, cut], missing.status === 404];
  });

const idle = (addr, millis) =>
  using(addr, async (session) => {
    const before = await request(session, "GET", "/hello");
    let pongs = 0;
    const pings = setInterval(() => session.ping(() => pongs++), 1000);
    await sleep(millis);
    clearInterval(pings);
    const after = await request(session, "GET", "/hello");
    return [[before, after, pongs > 0], before.status === 200 && after.status === 200 && pongs > 0];
  });

const burst = async (addr) => {
  const seen = await atOnce(() => using(addr, (session) => request(session, "GET", "/hello")));
  return [seen, seen.every((one) => one.status === 200)];
};

const refused = (addr, _, another = false) =>
  using(addr, async (session) => {
    const begin = performance.now();
    const seen = await request(session, "GET", "/hello");
    const told = { saw: String(seen.status || seen.end), millis: performance.now() - begin };
    await sleep(300); // a reconnection would be seen
    if (another) {
      const after = await request(session, "GET", "/echo");
      told.then = String(after.status || after.end);
    }
    return [told, true];
  });

const refusedThenServed = (addr) => refused(addr, 0, true);

async function first(addr) {
  const seen = await using(addr, (session) => request(session, "GET", "/hello"));
  if (seen.status !== 200) throw new Error(`status ${seen.status}`);
}

await client({ one, many, bidi, big, ends, idle, burst, refused, "refused-then-served": refusedThenServed }, first);
