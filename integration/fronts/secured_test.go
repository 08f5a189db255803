package fronts

import (
	"testing"

	"github.com/edgehold/edgehold/integration/clients"
)

const securedJS = `
import { smoke } from "./smoke.mjs"
import { connect } from "edgehold"
await smoke(process.env.NODE_URL, "js/tls/", { token: () => process.env.NODE_TOKEN })
for (const token of [undefined, "ehp_wrong"]) {
  const code = await connect(process.env.NODE_URL, { token }).get("js/tls/k").then(() => "none", (e) => e.code)
  if (code !== "unauthenticated") throw new Error(token + ": " + code)
}`

const securedPython = `
import os, ssl, httpx, edgehold
url = os.environ["NODE_URL"]
with httpx.Client(verify=ssl.create_default_context(cafile=os.environ["NODE_ROOT"])) as http:
    db = edgehold.connect(url, token=lambda: os.environ["NODE_TOKEN"], http=http)
    db.put("python/tls/k", "x")
    assert next(db.watch("python/tls/")).cursor
    with db.lock("python/tls/lock", 60):
        assert db.get("python/tls/k").text() == "x"
    for token in (None, "ehp_wrong"):
        try:
            edgehold.connect(url, token=token, http=http).get("python/tls/k")
            raise SystemExit("it was answered")
        except edgehold.EdgeholdError as e:
            assert e.code == "unauthenticated", e
`

// TestPackagesOverTLS: the packages reach a node over TLS with a token, and say so if the node does not know it.
func TestPackagesOverTLS(t *testing.T) {
	t.Parallel()
	url, root, token := secured(t)
	env := []string{"NODE_URL=" + url, "NODE_TOKEN=" + token, "NODE_ROOT=" + root, "NODE_EXTRA_CA_CERTS=" + root}
	run(t, jsPackage.project(t), env, clients.Need(t, "node"), "--input-type=module", "-e", securedJS)
	path, _ := pythonPackage.install(t)
	run(t, t.TempDir(), append(env, path), clients.Need(t, "python"), "-c", securedPython)
}
