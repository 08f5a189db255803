// A Deno program with Deno KV, at the edge beside it.
import { steps } from "./steps.mjs"

const [near, home, value] = Deno.args
const kv = await Deno.openKv(`${near}/kvconnect/platforms`)
const there = await Deno.openKv(`${home}/kvconnect/platforms`)
await there.set(["flag"], "flagged")
const seen = await steps({
  read: async () => (await kv.get(["flag"])).value,
  write: () => kv.set(["seen"], value),
  elsewhere: async () => (await there.get(["seen"])).value,
})
console.log(JSON.stringify(seen))
kv.close()
there.close()
