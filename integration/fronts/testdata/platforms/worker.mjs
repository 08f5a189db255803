// A Worker with a KV binding and a service binding, both to the edge beside it, and a KV binding to one at home.
export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname
    switch (request.method + path) {
      case "GET/flag":
        return new Response(await env.KV.get("flag"))
      case "GET/native": {
        const answer = await env.EDGE.fetch("http://edge/v1/kv/kv/platforms/flag")
        return new Response(`${answer.headers.get("Edgehold-Served-By")} ${await answer.text()}`)
      }
      case "GET/home":
        return new Response(await env.HOME.get("seen"))
    }
    await env.KV.put("seen", path.slice(1))
    return new Response("written")
  },
}
