// An application that people log in to: Cloudflare's OAuth provider as it comes from npm, with its KV namespace OAUTH_KV. Whoever asks for
// /authorize is alice, and agrees: a real application shows its login page there.
import { OAuthProvider } from "@cloudflare/workers-oauth-provider";

const application = {
  fetch: (request, env, ctx) => Response.json({ user: ctx.props.user, edge: env.EDGE }),
};

const login = {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname !== "/authorize") return new Response("not found", { status: 404 });
    const asked = await env.OAUTH_PROVIDER.parseAuthRequest(request);
    const { redirectTo } = await env.OAUTH_PROVIDER.completeAuthorization({
      request: asked, userId: "alice", scope: asked.scope, metadata: {}, props: { user: "alice" },
    });
    return Response.redirect(redirectTo, 302);
  },
};

export default new OAuthProvider({
  apiRoute: "/api",
  apiHandler: application,
  defaultHandler: login,
  authorizeEndpoint: "/authorize",
  tokenEndpoint: "/oauth/token",
  clientRegistrationEndpoint: "/oauth/register",
  resourceMetadata: { resource: "https://app.example/api", authorization_servers: ["https://app.example"] },
});
