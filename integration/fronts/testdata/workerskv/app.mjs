// An application that uses its KV namespace, and answers "passed" if that does what the documentation of Workers says.
import { equal, throws } from "./check.mjs";

async function check({ KV }, prefix) {
  await KV.put(`${prefix}a/ä`, "v", { metadata: { é: 1 }, expirationTtl: 60 });
  await KV.put(`${prefix}bytes`, new Uint8Array([0, 255]).buffer);
  await KV.put(`${prefix}json`, '{"a":[1]}');
  equal(await KV.get(`${prefix}a/ä`), "v", "get");
  equal(await KV.get(`${prefix}absent`), null, "absent");
  equal(await KV.get(`${prefix}json`, "json"), { a: [1] }, "json");
  equal([...new Uint8Array(await KV.get(`${prefix}bytes`, { type: "arrayBuffer", cacheTtl: 60 }))], [0, 255], "arrayBuffer");
  equal(await new Response(await KV.get(`${prefix}json`, "stream")).text(), '{"a":[1]}', "stream");
  const { value, metadata } = await KV.getWithMetadata(`${prefix}a/ä`);
  equal([value, metadata], ["v", { é: 1 }], "getWithMetadata");
  equal([...(await KV.get([`${prefix}json`, `${prefix}absent`], "json")).values()], [{ a: [1] }, null], "bulk");
  const page = await KV.list({ prefix, limit: 2 });
  equal([page.keys.map((k) => k.name), page.list_complete, page.keys[0].metadata], [[`${prefix}a/ä`, `${prefix}bytes`], false, { é: 1 }], "list");
  equal((await KV.list({ prefix, cursor: page.cursor })).keys, [{ name: `${prefix}json` }], "the next page");
  await KV.delete(`${prefix}json`);
  equal(await KV.get(`${prefix}json`), null, "delete");
  await throws(() => KV.put(`${prefix}x`, "v", { expirationTtl: -1 }), "KV PUT failed: 400 Invalid expiration_ttl of -1. Please specify integer greater than 0.", "an error");
}

export default {
  async fetch(request, env) {
    try {
      await check(env, new URL(request.url).searchParams.get("prefix"));
      return new Response("passed");
    } catch (e) {
      return new Response(e.stack, { status: 500 });
    }
  },
};
