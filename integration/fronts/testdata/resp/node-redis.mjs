// node-redis, with the protocol's versions 2 and 3.
import assert from "node:assert/strict";
import { createClient } from "redis";

for (const RESP of [2, 3]) {
  const client = createClient({ url: `redis://${process.env.RESP_ADDRESS}/2`, RESP, name: `node-redis-${RESP}` });
  client.on("error", (err) => { throw err; });
  await client.connect();
  const k = (name) => `${RESP}:${name}`;
  await client.del(["a", "e", "t"].map(k));
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set(k("a"), "1"), "OK");
  assert.equal(await client.get(k("a")), "1");
  assert.equal(await client.get(k("none")), null);
  assert.equal(await client.incrBy(k("a"), 41), 42);
  assert.equal(await client.append(k("a"), "!"), 3);
  assert.equal(await client.getSet(k("a"), "x"), "42!");
  assert.deepEqual(await client.mGet([k("a"), k("none")]), ["x", null]);
  assert.equal(await client.set(k("a"), "y", { condition: "NX", GET: true }), "x");
  assert.equal(await client.setEx(k("e"), 100, "v"), "OK");
  assert.ok((await client.pTTL(k("e"))) > 90_000);
  assert.equal(await client.getEx(k("e"), { type: "PERSIST" }), "v");
  assert.equal(await client.ttl(k("e")), -1);
  assert.deepEqual(await client.multi().set(k("t"), "1").incr(k("t")).get(k("none")).exec(), ["OK", 2, null]);
  await client.watch(k("t"));
  await client.set(k("t"), "3");
  await assert.rejects(client.multi().set(k("t"), "4").exec(), /One \(or more\) of the watched keys has been changed/);
  const found = [];
  for await (const keys of client.scanIterator({ MATCH: k("*"), COUNT: 1 })) found.push(...keys);
  assert.deepEqual(found.sort(), [k("a"), k("e"), k("t")]);
  assert.equal(await client.getDel(k("t")), "3");
  assert.equal(await client.del([k("a"), k("e"), k("t")]), 2);
  assert.equal(await client.exists(k("a")), 0);
  assert.match(await client.info("stats"), /reads_by_lease:\d+/);
  await client.close();
}
console.log("node-redis: ok");
