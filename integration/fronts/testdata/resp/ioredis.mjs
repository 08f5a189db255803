// ioredis: strings, pipelines, transactions, scans, times to live, binary values, reconnection.
import assert from "node:assert/strict";
import Redis from "ioredis";

const [host, port] = process.env.RESP_ADDRESS.split(":");
const redis = new Redis({ host, port: Number(port), db: 1, connectionName: "ioredis-test" });
const other = new Redis({ host, port: Number(port), db: 1 });

await redis.del("greeting", "absent", "session", "count", "p", "t");
assert.equal(await redis.ping(), "PONG");
assert.equal(await redis.client("GETNAME"), "ioredis-test");
assert.equal(await redis.set("greeting", "hello"), "OK");
assert.equal(await redis.get("greeting"), "hello");
assert.equal(await other.get("greeting"), "hello");
assert.equal(await redis.get("absent"), null);
assert.deepEqual(await redis.mget("greeting", "absent"), ["hello", null]);
assert.equal(await redis.set("greeting", "x", "NX"), null);
assert.equal(await redis.set("session", "s", "EX", 100), "OK");
assert.ok((await redis.ttl("session")) > 90);
assert.equal(await redis.expire("session", 50), 1);
assert.ok((await redis.ttl("session")) <= 50);
assert.equal(await redis.persist("session"), 1);
assert.equal(await redis.ttl("session"), -1);

const bytes = Buffer.from([0, 255, 13, 10, 36]);
await redis.set(Buffer.from([1, 0, 2]), bytes);
assert.deepEqual(await redis.getBuffer(Buffer.from([1, 0, 2])), bytes);

const counts = await Promise.all(Array.from({ length: 20 }, () => redis.incr("count")));
assert.deepEqual(counts, Array.from({ length: 20 }, (_, i) => i + 1));

const results = await redis.pipeline().set("p", 1).incr("p").get("p").incr("greeting").get("greeting").exec();
assert.deepEqual(results.map(([e, v]) => (e ? e.message : v)), ["OK", 2, "2", "ERR value is not an integer or out of range", "hello"]);

assert.deepEqual(await redis.multi().set("t", "1").incr("t").exec(), [[null, "OK"], [null, 2]]);
await redis.watch("t");
await other.set("t", "9");
assert.equal(await redis.multi().set("t", "2").exec(), null);
assert.equal(await redis.get("t"), "9");

await redis.mset(Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`scan:${String(i).padStart(2, "0")}`, i])));
const found = [];
for await (const keys of redis.scanStream({ match: "scan:*", count: 10 })) found.push(...keys);
assert.deepEqual(found, Array.from({ length: 25 }, (_, i) => `scan:${String(i).padStart(2, "0")}`));

await assert.rejects(redis.lpush("list", "a"), /^ReplyError: ERR unknown command 'lpush', with args beginning with: 'list' 'a'/);
await assert.rejects(redis.set("big", Buffer.alloc((1 << 20) + 1)), /over the limit of 1048576 bytes/);

redis.disconnect(true); // it connects again, and chooses its database
assert.equal(await redis.get("greeting"), "hello");
await redis.quit();
await other.quit();
console.log("ioredis: ok");
