// A Worker that uses every method of its KV binding. KV is at an edge far from the owner, NEAR the same namespace at another edge.
import { equal, throws, until } from "check.mjs";

const text = (bytes) => new TextDecoder().decode(bytes);

async function values({ KV }) {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  writer.write(new TextEncoder().encode("in chunks")).then(() => writer.close());
  await Promise.all([
    KV.put("text", "grüße"),
    KV.put("buffer", bytes.buffer),
    KV.put("view", bytes.subarray(1, 3)),
    KV.put("stream", new Response("streamed").body),
    KV.put("chunks", readable),
    KV.put("json", JSON.stringify({ a: [1, "é", null] })),
    KV.put("empty", ""),
  ]);
  equal(await KV.get("text"), "grüße", "text");
  equal([...new Uint8Array(await KV.get("buffer", "arrayBuffer"))], [...bytes], "arrayBuffer");
  equal([...new Uint8Array(await KV.get("view", { type: "arrayBuffer" }))], [1, 2], "view");
  equal(await new Response(await KV.get("stream", "stream")).text(), "streamed", "stream");
  equal(await KV.get("chunks"), "in chunks", "chunks");
  equal(await KV.get("json", "json"), { a: [1, "é", null] }, "json");
  equal(await KV.get("empty"), "", "empty");
  equal(await KV.get("absent"), null, "absent");
  equal(await KV.get("text", { cacheTtl: 60 }), "grüße", "cacheTtl");
  const big = "x".repeat(1 << 20);
  await KV.put("big", big);
  equal((await KV.get("big")).length, big.length, "a value of 1 MiB");
  equal(text(await KV.get("big", "arrayBuffer")) === big, true, "the bytes of a value of 1 MiB");
}

async function metadata({ KV }) {
  await KV.put("m", "1", { metadata: { a: "é\n", b: [1, 2] } });
  equal((await KV.getWithMetadata("m")).metadata, { a: "é\n", b: [1, 2] }, "metadata");
  await KV.put("m", "2", { metadata: "text" });
  const { value, metadata } = await KV.getWithMetadata("m", "json");
  equal([value, metadata], [2, "text"], "metadata that is text");
  await KV.put("m", "3");
  equal((await KV.getWithMetadata("m")).metadata, null, "metadata after a put without it");
  equal((await KV.getWithMetadata("absent")).value, null, "getWithMetadata of an absent key");
}

async function bulk({ KV }) {
  await KV.put("b1", "1", { metadata: { n: 1 } });
  await KV.put("b2", '"two"');
  equal(Object.fromEntries(await KV.get(["b1", "b2", "b3"])), { b1: "1", b2: '"two"', b3: null }, "bulk");
  equal(Object.fromEntries(await KV.get(["b1", "b2"], "json")), { b1: 1, b2: "two" }, "bulk of JSON");
  const all = Object.fromEntries(await KV.getWithMetadata(["b1", "b2", "b3"], { type: "text", cacheTtl: 60 }));
  equal([all.b1.value, all.b1.metadata, all.b2.metadata, all.b3], ["1", { n: 1 }, null, null], "bulk with metadata");
}

async function lists({ KV }) {
  const names = Array.from({ length: 7 }, (_, i) => `l/${i}`);
  await Promise.all(names.map((n, i) => KV.put(n, "v", { metadata: { i }, expirationTtl: 3600 })));
  const seen = [];
  for (let cursor, done = false; !done; ) {
    const page = await KV.list({ prefix: "l/", limit: 3, cursor });
    for (const { name, expiration, metadata } of page.keys) {
      equal(metadata, { i: seen.length }, `metadata of ${name} in a list`);
      equal(Math.abs(expiration - Date.now() / 1000 - 3600) < 60, true, `expiration of ${name}, ${expiration}`);
      seen.push(name);
    }
    [cursor, done] = [page.cursor, page.list_complete];
  }
  equal(seen, names, "the pages of a list");
  await KV.delete("l/3");
  equal((await KV.list({ prefix: "l/" })).keys.map((k) => k.name), names.filter((n) => n !== "l/3"), "a list after a delete");
}

async function oddKeys({ KV }) {
  const names = ["/", "//a", "a/../b", "a b", "a+b", "%", "%2F", "a?b#c", ".meta/x", ".meta", "ä€𝄞", "\0\n", "__proto__", "bulk/get", "x".repeat(512)];
  const each = (f) => Promise.all(names.map(f));
  await each((n, i) => KV.put(n, `v${i}`, { metadata: i }));
  await each(async (n, i) => {
    const { value, metadata } = await KV.getWithMetadata(n);
    equal([value, metadata], [`v${i}`, i], `key ${JSON.stringify(n)}`);
  });
  const { keys } = await KV.list();
  await each((n, i) => equal(keys.find((k) => k.name === n)?.metadata, i, `key ${JSON.stringify(n)} in a list`));
  await each((n) => KV.delete(n));
  await each(async (n) => equal(await KV.get(n), null, `deleted key ${JSON.stringify(n)}`));
}

async function expiration({ KV }) {
  await KV.put("soon", "v", { expirationTtl: 1, metadata: 1 });
  await KV.put("at", "v", { expiration: Math.floor(Date.now() / 1000) + 2 });
  await KV.put("later", "v", { expirationTtl: 3600 });
  await until(async () => (await KV.get("soon")) === null && (await KV.get("at")) === null, "keys expire");
  equal(await KV.get("later"), "v", "a key that lives for an hour");
  equal((await KV.list({ prefix: "soon" })).keys, [], "an expired key in a list");
}

async function errors({ KV }) {
  const put = (options, value = "v") => () => KV.put("e", value, options);
  await throws(put({ expirationTtl: -1 }), "KV PUT failed: 400 Invalid expiration_ttl of -1. Please specify integer greater than 0.", "ttl");
  await throws(put({ expiration: 1 }), "KV PUT failed: 400 Invalid expiration of 1. Please specify integer greater than the current number of seconds since the UNIX epoch.", "expiration");
  await throws(put({ metadata: "m".repeat(1023) }), "KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024.", "metadata");
  await throws(put({}, "x".repeat((1 << 20) + 1)), "KV PUT failed: 413 Value length of 1048577 exceeds limit of 1048576.", "value");
  await throws(put({}, "x".repeat(24 << 20)), "KV PUT failed: 413 Value length of 25165824 exceeds limit of 1048576.", "the largest value of the original");
  await throws(() => KV.put("e", new Response("x".repeat(3 << 20)).body.pipeThrough(new TransformStream())), "KV PUT failed: 413 Value length exceeds limit of 1048576.", "a stream");
  await throws(() => KV.put("k".repeat(513), ""), "KV PUT failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512.", "key");
  await throws(() => KV.list({ limit: 1001 }), "KV GET failed: 400 Invalid key_count_limit of 1001. Please specify an integer of at most 1000.", "limit");
  await throws(() => KV.list({ cursor: "?" }), "KV GET failed: 400 Invalid cursor. Please use the cursor of the page before, with the same prefix.", "cursor");
  await KV.put("plain", "no JSON");
  await throws(() => KV.get(["plain"], "json"), "KV GET_BULK failed: 400 At least one of the requested keys corresponds to a non-json value", "bulk");
  equal(await KV.get("e"), null, "what was refused");
}

// everywhere: what one edge has written, or deleted, is what another edge reads from then on, whatever it has read before.
async function everywhere({ KV, NEAR }) {
  for (let i = 0; i < 5; i++) {
    equal([await KV.get("w"), await NEAR.get("w")], [null, null], "before the put");
    await NEAR.put("w", `${i}`);
    equal([await KV.get("w"), await NEAR.get("w")], [`${i}`, `${i}`], "after the put");
    await KV.delete("w");
  }
  await NEAR.put("hot", "v");
  await until(async () => (await KV.getWithMetadata("hot")).cacheStatus === "HIT", "a read is answered at the edge itself");
}

export default {
  async test(_, env) {
    const parts = [values, metadata, bulk, lists, oddKeys, expiration, errors, everywhere];
    await Promise.all(parts.map((part) => part(env).catch((e) => { throw new Error(`${part.name}: ${e.message}`); })));
  },
};
