// What the Node peers share: the command line, the bodies, the hashes.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

export const HEALTH = "/grpc.health.v1.Health/Check";
export const UNARY = "/oneport.interop.Echo/Unary";
export const BIDI = "/oneport.interop.Echo/Bidi";
export const FAIL = "/oneport.interop.Echo/Fail";
export const HANG = "/oneport.interop.Echo/Hang";

export const BIG = 4 << 20;
export const LIMIT = 30_000;
export const HELLO = Buffer.from("hello\n");

/** A body that shows lost, doubled and swapped pieces in its hash. */
export function pattern(size) {
  const body = Buffer.alloc(size);
  let state = size;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    body[i] = state >>> 24;
  }
  return body;
}

export function sha(body) {
  return createHash("sha256").update(body ?? "").digest("hex").slice(0, 16);
}

/** Header fields in an order that does not depend on the run, less the date. */
export function lines(fields) {
  return Object.entries(fields)
    .filter(([name]) => name !== "date")
    .map(([name, value]) => `${name}: ${value}`)
    .sort();
}

/** Counts equal answers. */
export function tally(answers) {
  const distinct = {};
  for (const answer of answers) distinct[answer] = (distinct[answer] ?? 0) + 1;
  return distinct;
}

export function atOnce(one) {
  return Promise.all(Array.from({ length: 20 }, one));
}

/** `ADDR SCENARIO… [idle=SECONDS]` or `fresh N ADDR…`; one JSON line each. */
export async function client(scenarios, first) {
  const [addr, ...names] = process.argv.slice(2);
  if (addr === "fresh") {
    const [count, ...addrs] = names;
    const millis = addrs.map(() => []);
    for (let n = 0; n < Number(count); n++) {
      for (const [i, to] of addrs.entries()) {
        const begin = performance.now();
        await first(to);
        millis[i].push(Math.round((performance.now() - begin) * 1000) / 1000);
      }
    }
    console.log(JSON.stringify(millis));
    process.exit(0);
  }
  let idle = 11_000;
  for (const name of names) {
    if (name.startsWith("idle=")) {
      idle = Number(name.slice(5)) * 1000;
      continue;
    }
    const [obs, ok] = await scenarios[name](addr, idle);
    console.log(JSON.stringify({ scenario: name, ok, obs }));
  }
  process.exit(0);
}

export { sleep };
