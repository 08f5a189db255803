/// <reference types="@fastly/js-compute" />
// A service of Fastly Compute whose backend "edge" is the edge beside it, with the npm package edgehold.
import { connect } from "edgehold"

const db = connect("http://edge", { fetch: (url, init) => fetch(url, { ...init, backend: "edge" }) })

addEventListener("fetch", (event) => event.respondWith(handle(event.request)))

async function handle(request) {
  const path = new URL(request.url).pathname.slice(1)
  if (request.method === "POST") {
    await db.put("platforms/fastly/seen", path)
    return new Response("written")
  }
  const entry = await db.get("platforms/fastly/" + path)
  return entry.exists ? new Response(entry.text()) : new Response("no such page", { status: 404 })
}
