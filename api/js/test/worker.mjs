// A Worker that runs the smoke test: over the network, and through a service binding.
import { smoke } from "./smoke.mjs"

export default {
  async test(_controller, env) {
    await smoke(env.URL, env.PREFIX + "network/")
    await smoke("http://edgehold", env.PREFIX + "binding/", { fetch: (url, init) => env.EDGE.fetch(url, init) })
  },
}
