// A Worker with the methods of a KV namespace, for places where a KV binding cannot point at Edgehold: wrangler dev, Miniflare, or Workers
// that run elsewhere. An application binds it as a service under the name of its namespace, and stays as it is:
//
//   "services": [{ "binding": "OAUTH_KV", "service": "edgehold-kv" }]
//
// EDGEHOLD_URL is a node that serves --front workers-kv, EDGEHOLD_NAMESPACE the namespace, EDGEHOLD_TOKEN a token, if one is needed. Where
// there is a service binding EDGEHOLD, requests go through it, and it may send the headers itself.
import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  async get(name, options) {
    if (Array.isArray(name)) return this.#bulk(name, options, false);
    return (await this.#read(name, options)).value;
  }

  async getWithMetadata(name, options) {
    if (Array.isArray(name)) return this.#bulk(name, options, true);
    return this.#read(name, options);
  }

  async put(name, value, options = {}) {
    const query = { urlencoded: true, expiration: options.expiration, expiration_ttl: options.expirationTtl };
    const headers = options.metadata == null ? {} : { "CF-KV-Metadata": latin1(JSON.stringify(options.metadata)) };
    await this.#ask("PUT", name, query, { headers, body: value });
  }

  async delete(name) {
    await this.#ask("DELETE", name, { urlencoded: true });
  }

  async list({ prefix, limit, cursor } = {}) {
    const answer = await this.#ask("GET", "", { prefix, key_count_limit: limit, cursor });
    const page = await answer.json();
    for (const key of page.keys) if (key.metadata !== undefined) key.metadata = JSON.parse(key.metadata);
    return page;
  }

  async #read(name, options) {
    const { type, cacheTtl } = typeof options === "string" ? { type: options } : (options ?? {});
    const answer = await this.#ask("GET", name, { urlencoded: true, cache_ttl: cacheTtl }, {}, true);
    const cacheStatus = answer.headers.get("CF-Cache-Status");
    if (answer.status === 404) return { value: null, metadata: null, cacheStatus };
    const metadata = answer.headers.get("CF-KV-Metadata");
    return { value: await body(answer, type), metadata: metadata && JSON.parse(metadata), cacheStatus };
  }

  async #bulk(keys, options, withMetadata) {
    const { type, cacheTtl } = typeof options === "string" ? { type: options } : (options ?? {});
    const answer = await this.#ask("POST", "bulk/get", {}, { body: JSON.stringify({ keys, type, withMetadata, cacheTtl }) });
    return new Map(Object.entries(await answer.json()));
  }

  async #ask(method, name, query, init = {}, mayBeAbsent = false) {
    const { EDGEHOLD, EDGEHOLD_URL = "http://edgehold", EDGEHOLD_NAMESPACE, EDGEHOLD_TOKEN } = this.env;
    const path = method === "POST" ? name : encodeURIComponent(name);
    const given = Object.entries(query).filter(([, value]) => value != null);
    const headers = new Headers(init.headers);
    if (EDGEHOLD_NAMESPACE) headers.set("Edgehold-KV-Namespace", EDGEHOLD_NAMESPACE);
    if (EDGEHOLD_TOKEN) headers.set("Authorization", `Bearer ${EDGEHOLD_TOKEN}`);
    const url = `${EDGEHOLD_URL}/${path}?${new URLSearchParams(given)}`;
    const answer = await (EDGEHOLD ?? globalThis).fetch(url, { ...init, method, headers });
    if (answer.ok || (mayBeAbsent && answer.status === 404)) return answer;
    throw new Error(`KV ${method} failed: ${answer.status} ${(await answer.text()).trim()}`);
  }
}

function body(answer, type = "text") {
  switch (type) {
    case "text":
      return answer.text();
    case "json":
      return answer.json();
    case "arrayBuffer":
      return answer.arrayBuffer();
    case "stream":
      return answer.body;
  }
  throw new TypeError(`Unknown response type ${JSON.stringify(type)}`);
}

// latin1 is JSON with only ASCII, as headers of fetch take no other text.
const latin1 = (json) => json.replace(/[\u007f-\uffff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
