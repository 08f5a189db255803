package cluster

import (
	"net/url"

	"github.com/edgehold/edgehold/api/consul"
	"github.com/edgehold/edgehold/api/kvconnect"
	"github.com/edgehold/edgehold/api/resp"
	"github.com/edgehold/edgehold/api/workerskv"
)

// curl begins a command that asks the node of at. The token is read from its file, and stands in no process's arguments.
func curl(at Reach) string {
	command := "curl -s"
	if at.CA != "" {
		command += " --cacert " + at.CA
	}
	if at.Token != "" {
		command = "sed 's/^/Authorization: Bearer /' " + at.Token + " | " + command + " -H @-"
	}
	return command
}

// tryWorkersKV writes a key as a binding would, and says where a binding is to point.
func tryWorkersKV(at Reach) string {
	return curl(at) + " -X PUT --data world -H '" + workerskv.NamespaceHeader + ": DEMO' " + at.URL + "/hello" +
		"  # " + workerskv.Name + ": docs/fronts/workers-kv.md"
}

// tryRESP writes a key and reads it with redis-cli.
func tryRESP(at Reach) string {
	u, err := url.Parse(at.URL)
	if err != nil {
		return "" // a node's URL is one
	}
	cli := "redis-cli -h " + u.Hostname() + " -p " + u.Port()
	if at.CA != "" {
		cli += " --tls --cacert " + at.CA
	}
	auth := ""
	if at.Token != "" {
		auth = "export REDISCLI_AUTH=$(cat " + at.Token + "); "
	}
	return auth + cli + " set hello world; " + cli + " get hello  # " + resp.Name + ": docs/fronts/resp.md"
}

// tryKVConnect writes and reads a key in Deno. The database is demo.
func tryKVConnect(at Reach) string {
	env := "DENO_KV_ACCESS_TOKEN=" + kvconnect.Anonymous
	if at.Token != "" {
		env = `DENO_KV_ACCESS_TOKEN="$(cat ` + at.Token + `)" DENO_CERT=` + at.CA
	}
	return env + ` deno eval --unstable-kv 'const kv = await Deno.openKv("` + at.URL + `/kvconnect/demo"); ` +
		`await kv.set(["hello"], "world"); console.log(await kv.get(["hello"])); kv.close()'`
}

// tryConsul writes and reads a key as clients of Consul do.
func tryConsul(at Reach) string {
	if at.Consul == "" {
		return ""
	}
	scheme := "http"
	if at.CA != "" {
		scheme = "https"
	}
	kv := scheme + "://" + at.Consul + "/v1/kv/hello"
	return curl(at) + " -X PUT --data world " + kv + "; " + curl(at) + " " + kv + "?raw  # " + consul.Name + ": docs/fronts/consul.md"
}
