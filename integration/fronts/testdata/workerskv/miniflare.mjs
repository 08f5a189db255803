// Miniflare runs the application with the Worker edgehold-kv as its namespace, once through an external service and once by URL; and the
// application reads the node itself through an external service.
import { Miniflare } from "miniflare";

const edge = process.argv[2];
const address = new URL(edge).host;
const compatibilityDate = "2026-04-01";
const external = { external: { address, http: { injectRequestHeaders: [{ name: "Edgehold-KV-Namespace", value: "miniflare" }] } } };

for (const [name, settings] of Object.entries({
  external: { serviceBindings: { EDGEHOLD: external } },
  url: { bindings: { EDGEHOLD_URL: edge, EDGEHOLD_NAMESPACE: "miniflare" } },
})) {
  const mf = new Miniflare({
    workers: [
      {
        name: "app", compatibilityDate, serviceBindings: { KV: "edgehold-kv" },
        modules: [{ type: "ESModule", path: "app.mjs" }, { type: "ESModule", path: "check.mjs" }],
      },
      { name: "edgehold-kv", compatibilityDate, modules: [{ type: "ESModule", path: "edgehold-kv.mjs" }], ...settings },
    ],
  });
  try {
    const answer = await mf.dispatchFetch(`http://app/?prefix=${name}/`);
    const text = await answer.text();
    if (text !== "passed") throw new Error(`${name}: ${text}`);
  } finally {
    await mf.dispose();
  }
}
console.log("passed");
