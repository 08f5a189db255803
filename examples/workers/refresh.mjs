// A Worker that rotates refresh tokens. Each token is accepted once, however many requests bring it at the same time and at whichever edges:
// the write that rotates it holds only if the session still has the version that was read. A KV binding has no such write, so the Worker uses
// Edgehold's own HTTP API through a service binding, STORE.
//
// POST /login?user=U answers {"token": T}; POST /refresh?user=U with the body T answers {"token": NEXT}, or 401 if T has been used.

const tries = 20;

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const user = url.searchParams.get("user");
    if (request.method !== "POST" || !user) return new Response("POST /login?user=U or /refresh?user=U\n", { status: 400 });
    const at = `http://edgehold/v1/kv/sessions/${encodeURIComponent(user)}`;
    switch (url.pathname) {
      case "/login":
        return rotate(env.STORE, at, {}, { rotations: 0 });
      case "/refresh":
        return refresh(env.STORE, at, await request.text());
    }
    return new Response("not found\n", { status: 404 });
  },
};

// refresh rotates the token, if it is the session's present one.
async function refresh(store, at, token) {
  const read = await send(store, at, {});
  if (read.status === 404) return used();
  if (!read.ok) return new Response("try again\n", { status: 503 });
  const session = await read.json();
  if (session.token !== (await hash(token))) return used();
  return rotate(store, at, { "If-Match": read.headers.get("ETag") }, { rotations: session.rotations + 1 });
}

// rotate writes the session with a new token, if the condition holds. The Idempotency-Key makes it safe to send the write again if it is not
// known whether it took effect.
async function rotate(store, at, condition, session) {
  const token = crypto.randomUUID();
  const body = JSON.stringify({ ...session, token: await hash(token) });
  const headers = { ...condition, "Idempotency-Key": crypto.randomUUID() };
  const written = await send(store, at, { method: "PUT", headers, body });
  if (written.status === 412) return used();
  if (!written.ok) return new Response("try again\n", { status: 503 });
  return Response.json({ token });
}

// send sends a request again as long as the answer says that this may help.
async function send(store, at, init) {
  for (let n = 1; ; n++) {
    const answer = await store.fetch(at, init);
    if (n === tries || (answer.status !== 503 && answer.status !== 504)) return answer;
    await answer.body?.cancel();
    await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After") ?? 1) * Math.random()));
  }
}

const used = () => new Response("the token is not valid any more\n", { status: 401 });

// hash is what is stored of a token: who reads the store learns no token.
async function hash(token) {
  const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return btoa(String.fromCharCode(...new Uint8Array(sum)));
}
