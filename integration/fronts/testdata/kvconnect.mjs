// The same program for Deno and for @deno/kv on Node. It ends with "ok", or with what was not as it should be.
import assert from "node:assert/strict";

const url = process.env.KV_URL;
const token = process.env.DENO_KV_ACCESS_TOKEN;
const onDeno = typeof Deno !== "undefined";
const { openKv, KvU64 } = onDeno
  ? { openKv: (u) => Deno.openKv(u), KvU64: Deno.KvU64 }
  : await import("@deno/kv").then((m) => ({ openKv: (u) => m.openKv(u, { accessToken: token }), KvU64: undefined }));

const kv = await openKv(url);
const u64 = (n) => new (KvU64 ?? kv64)(n);
let kv64;
if (!onDeno) {
  // @deno/kv has no class to import: a sum makes the first integer.
  await kv.atomic().sum(["u64"], 0n).commit();
  kv64 = (await kv.get(["u64"])).value.constructor;
}
const all = async (list) => { const out = []; for await (const e of list) out.push(e); return out; };
const keys = (entries) => entries.map((e) => e.key.at(-1));

const tests = {
  async values() {
    const values = ["text", 7, 12n, true, null, { a: [1, { b: new Date(0) }] }, new Uint8Array([0, 255, 1]), new Map([["k", new Set([1])]])];
    for (const [i, v] of values.entries()) {
      const set = await kv.set(["v", i], v);
      assert.ok(set.ok);
      const got = await kv.get(["v", i]);
      assert.deepEqual(got.value, v);
      assert.equal(got.versionstamp, set.versionstamp);
    }
    await kv.set(["v", 0], u64(9n));
    assert.equal((await kv.get(["v", 0])).value.value, 9n);
    await kv.set(["v", 0], "text again");
    assert.equal((await kv.get(["v", 0])).value, "text again");
    await kv.delete(["v", 0]);
    assert.deepEqual(await kv.get(["v", 0]), { key: ["v", 0], value: null, versionstamp: null });
    assert.equal((await kv.get(["v", 1], { consistency: "eventual" })).value, 7);
  },

  async keyParts() {
    const parts = ["s", "", "\u0000é", 1, -1.5, 2n, -3n, true, false, new Uint8Array([0, 255])];
    for (const p of parts) {
      await kv.set(["parts", p], String(p));
      assert.equal((await kv.get(["parts", p])).value, String(p));
    }
    assert.equal((await all(kv.list({ prefix: ["parts"] }))).length, parts.length);
  },

  async getMany() {
    const write = await kv.atomic().set(["many", 1], "a").set(["many", 3], new Uint8Array([1])).commit();
    const got = await kv.getMany([["many", 1], ["many", 2], ["many", 3]]);
    assert.deepEqual(got.map((e) => e.value), ["a", null, new Uint8Array([1])]);
    assert.deepEqual(got.map((e) => e.versionstamp), [write.versionstamp, null, write.versionstamp]);
  },

  async list() {
    const letters = ["a", "b", "c", "d", "e"];
    let op = kv.atomic();
    for (const l of letters) op = op.set(["list", l], l === "c" ? u64(3n) : l);
    await op.commit();
    const is = async (want, selector, options) => {
      const got = await all(kv.list(selector, options));
      assert.deepEqual(keys(got), want);
      for (const e of got) if (e.key[1] === "c") assert.equal(e.value.value, 3n); else assert.equal(e.value, e.key[1]);
    };
    await is(letters, { prefix: ["list"] });
    await is(letters, { prefix: ["list"] }, { batchSize: 2 });
    await is(["e", "d"], { prefix: ["list"] }, { reverse: true, limit: 2 });
    await is(["c", "d", "e"], { prefix: ["list"], start: ["list", "c"] });
    await is(["a", "b"], { prefix: ["list"], end: ["list", "c"] });
    await is(["b", "c"], { start: ["list", "b"], end: ["list", "d"] });
    const first = kv.list({ prefix: ["list"] }, { limit: 2 });
    await all(first);
    await is(["c", "d", "e"], { prefix: ["list"] }, { cursor: first.cursor });
    await is(letters, { prefix: ["list"] }, { consistency: "eventual" });
    await is([], { prefix: ["nothing"] });
    assert.ok((await all(kv.list({ prefix: [] }, { limit: 1000 }))).length > 0);
  },

  async atomic() {
    const absent = { key: ["atomic", "a"], versionstamp: null };
    const made = await kv.atomic().check(absent).set(["atomic", "a"], 1).set(["atomic", "b"], 2).commit();
    assert.ok(made.ok);
    assert.equal((await kv.atomic().check(absent).set(["atomic", "a"], 3).commit()).ok, false);
    const [a, b] = await kv.getMany([["atomic", "a"], ["atomic", "b"]]);
    assert.equal(a.versionstamp, b.versionstamp);
    const next = await kv.atomic().check(a, b).set(["atomic", "a"], 4).delete(["atomic", "b"]).commit();
    assert.ok(next.ok && next.versionstamp > made.versionstamp);
    assert.equal((await kv.atomic().check(a).set(["atomic", "a"], 5).commit()).ok, false);
    assert.equal((await kv.atomic().check({ key: ["atomic", "b"], versionstamp: next.versionstamp }).commit()).ok, false);
    assert.ok((await kv.atomic().check(await kv.get(["atomic", "a"])).commit()).ok);
    assert.equal((await kv.get(["atomic", "a"])).value, 4);
  },

  async integers() {
    const at = ["n", onDeno ? "deno" : "node"];
    await kv.delete(at);
    const is = async (want) => assert.equal((await kv.get(at)).value.value, want);
    await kv.atomic().sum(at, 5n).commit();
    await kv.atomic().sum(at, 2n).commit();
    await is(7n);
    await kv.atomic().min(at, 3n).commit();
    await is(3n);
    await kv.atomic().max(at, 100n).commit();
    await is(100n);
    await kv.atomic().sum(at, 2n ** 64n - 1n).commit(); // it wraps
    await is(99n);
    await kv.atomic().set(at, u64(1n)).sum(at, 1n).delete(at).sum(at, 40n).commit();
    await is(40n);
    await Promise.all(Array.from({ length: 20 }, () => kv.atomic().sum(at, 1n).commit()));
    await is(60n);
    await kv.set(at, "abcd"); // 8 bytes in V8
    await assert.rejects(kv.atomic().sum(at, 1n).commit(), /non-U64/);
    assert.equal((await kv.get(at)).value, "abcd");
  },

  async expireIn() {
    await kv.set(["soon"], u64(1n), { expireIn: 200 });
    await kv.set(["later"], "x", { expireIn: 3_600_000 });
    assert.equal((await kv.get(["later"])).value, "x");
    for (let tries = 0; (await kv.get(["soon"])).value !== null; tries++) {
      assert.ok(tries < 300, "it does not expire");
      await new Promise((r) => setTimeout(r, 100));
    }
  },

  async large() {
    const big = new Uint8Array(60 * 1024).fill(7);
    let op = kv.atomic();
    for (let i = 0; i < 12; i++) op = op.set(["large", i], big);
    assert.ok((await op.commit()).ok);
    const got = await all(kv.list({ prefix: ["large"] }));
    assert.equal(got.length, 12);
    for (const e of got) assert.deepEqual(e.value, big);
    await assert.rejects(kv.set(["large"], new Uint8Array(65 * 1024)), /large|limit|exceed/i);
    let many = kv.atomic();
    for (let i = 0; i < 500; i++) many = many.set(["crowd", i], i);
    assert.ok((await many.commit()).ok);
    assert.equal((await all(kv.list({ prefix: ["crowd"] }, { batchSize: 500 }))).length, 500);
  },

  // The edge is 200 ms from the owner: a read that takes less is answered by the edge's leases.
  async leases() {
    await kv.set(["leased"], "here");
    await kv.set(["leased", 2], u64(2n));
    // @deno/kv asks for the first key from an absent one on, which no lease answers.
    const both = () => kv.getMany([["leased"], ["leased", 2], ...(onDeno ? [["absent"]] : [])]);
    for (let tries = 0; ; tries++) {
      await Promise.all(Array.from({ length: 8 }, both)); // keys that are read often get leases, a while after they were written
      const begun = performance.now();
      const [a, b, none] = await both();
      const took = performance.now() - begun;
      assert.deepEqual([a.value, b.value.value, none?.value ?? null], ["here", 2n, null]);
      if (took < 100) break;
      assert.ok(tries < 200, `a read takes ${took} ms`);
    }
  },

  async watch() {
    const a = ["watch", "a"], b = ["watch", "b"];
    await kv.delete(a);
    await kv.set(b, 0);
    const reader = kv.watch([a, b]).getReader();
    const until = async (want) => {
      for (;;) {
        const { value } = await reader.read();
        const seen = value.map((e) => e.value?.value ?? e.value);
        if (seen[0] !== null) assert.equal(Number(seen[0]), Number(seen[1]), "two writes of one commit are seen apart");
        if (want(seen)) return;
      }
    };
    await until((s) => s[0] === null && s[1] === 0);
    for (let i = 1n; i <= 3n; i++) await kv.atomic().set(a, u64(i)).set(b, Number(i)).commit();
    await until((s) => s[0] === 3n && s[1] === 3);
    await reader.cancel();
  },
};

// The tests have no key in common, and run at once.
await Promise.all(Object.entries(tests).map(async ([name, run]) => {
  try {
    await run();
  } catch (e) {
    console.log(`${name}: ${e.stack}`);
    process.exit(1);
  }
}));
kv.close();
console.log("ok");
process.exit(0);
