// For Deno. It uses a database while its edge restarts: at each line of its input it goes on.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const kv = await Deno.openKv(process.env.KV_URL);
await kv.set(["before"], 1);

const seen = [];
const watching = (async () => {
  for await (const [e] of kv.watch([["watched"]])) {
    seen.push(e.value);
    if (e.value === "after") return;
  }
})();
const sees = async (value) => {
  for (let tries = 0; !seen.includes(value); tries++) {
    assert.ok(tries < 300, `the watch has seen ${seen}`);
    await new Promise((r) => setTimeout(r, 100));
  }
};
await kv.set(["watched"], "before");
await sees("before");
console.log("restart");

await lines.next(); // the edge is there again
assert.equal((await kv.get(["before"])).value, 1);
await kv.atomic().sum(["count"], 1n).commit();
await kv.set(["watched"], "after");
await watching;
assert.equal((await kv.get(["count"])).value.value, 1n);

// The token is for this database alone.
const other = process.env.KV_URL.replace(/[^/]*$/, "other");
await assert.rejects(async () => await (await Deno.openKv(other)).get(["x"]), /Could not open|Failed to fetch metadata|forbidden|denied|may not/i);
console.log("ok");
process.exit(0);
