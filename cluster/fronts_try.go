package cluster

import "github.com/edgehold/edgehold/api/workerskv"

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
