package httpd

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd/openapi"
)

// What the document says of the routes about the cluster and the node.

var aboutGetCluster = about{
	id: "getCluster", tag: "cluster", summary: "Show nodes, groups and ranges", text: "It is what this node sees. It never waits for nodes that do not answer.",
	out: answers(statusBody{}),
	examples: []example{{name: "show", target: "/v1/cluster", status: 200, answer: `{"cluster_id":"dev","security":"plain","level":12,` +
		`"nodes":[{"node":"us-east-1","region":"us-east","role":"server","url":"http://127.0.0.1:7400","state":"up","level":12,"map_version":3}],` +
		`"groups":[{"group":"us-east.1","region":"us-east","leader":"us-east-1","term":2,"voters":["us-east-1"],"applied":18,"prepared":0,"unresolved":0,"oldest_prepared_seconds":0}],` +
		`"sessions":1,"leases":0,"ranges":[{"start":"","end":"","group":"us-east.1","epoch":1}]}`}},
}

var aboutGetLive = about{
	id: "watchCluster", tag: "cluster", summary: "Watch what the cluster does",
	text:  "Server-Sent Events: live, once a second, and end, with a problem, before the connection ends for another reason than the client's.",
	media: "text/event-stream", out: eventsOf("live", "end"), gives: watchGives,
	examples: []example{{name: "watch", summary: "For half a second", target: "/v1/cluster/live?timeout=500ms", status: 200,
		answer: "event: live\ndata: {\"cluster_id\":\"dev\",\"nodes\":[],\"groups\":[],\"ranges\":[],\"sessions\":0,\"leases\":0,\"live\":{\"node\":\"us-east-1\",\"seq\":1,\"unix_ms\":1796040000000,\"nodes\":[],\"groups\":[],\"alarms\":[]}}\n\n"}},
}

var aboutGetSlow = about{
	id: "getSlow", tag: "cluster", summary: "Show the slowest requests of the last minutes, and hot keys", text: "Keys that the caller may not list are left out.",
	out: answers(slowBody{}), errors: []int{404},
	examples: []example{{name: "show", target: "/v1/cluster/slow?node=us-east-1", status: 200, answer: `{"nodes":[{"node":"us-east-1","state":"up"}],"slow":[],"hot":[]}`}},
}

var aboutPostPlacement = about{
	id: "setPlacement", tag: "cluster", summary: "Have a region, or one group of it, own the keys with a prefix", text: "No such key may exist yet. The body names one of region and group.",
	in: asks("Placement", placementBody{}), must: true, out: answers(placementBody{}), errors: []int{404, 409},
	examples: []example{{name: "set", target: "/v1/cluster/placement", body: `{"prefix":"shop/","region":"us-east"}`, status: 200, answer: `{"prefix":"shop/","region":"us-east"}`}},
}

// orderShape is the body of an order that takes these members of an orderBody.
func orderShape(name string, must int, members ...string) shape {
	return lockShape(name, must, members...)
}

// aboutOrder describes an order, which answers with its progress.
func aboutOrder(id, summary, text string, in shape, must bool, examples ...example) about {
	return about{id: id, tag: "cluster", summary: summary, text: text + " The order stands when the answer comes: the same order again says what is left.",
		in: in, must: must, out: answers(api.Progress{}), errors: []int{404, 409}, examples: examples}
}

var (
	aboutDrain = aboutOrder("drainNode", "Drain a node", "It leads nothing, gives its leases back and takes no new clients. It still votes.", orderShape("DrainOrder", 0, "for"), false,
		example{name: "drain", target: "/v1/cluster/nodes/us-east-edge-1/drain", body: `{"for":"30m"}`, status: 200, answer: `{"done":false}`})
	aboutUndrain = aboutOrder("undrainNode", "End a drain, or the leaving of a node that is still there", "", orderShape("UndrainOrder", 0), false,
		example{name: "undrain", target: "/v1/cluster/nodes/us-east-edge-1/undrain", body: `{}`, status: 200, answer: `{"done":true}`})
	aboutLeave = aboutOrder("leaveNode", "Have a node give its places to others and leave", "force allows that fewer nodes may fail afterwards.", orderShape("LeaveOrder", 0, "force"), false,
		example{name: "unknown", target: "/v1/cluster/nodes/us-east-9/leave", body: `{}`, status: 404, answer: noSuchNode})
	aboutRemove = aboutOrder("removeNode", "Remove a node for good", "force is needed for a server that answers.", orderShape("RemoveOrder", 0, "force"), false,
		example{name: "unknown", target: "/v1/cluster/nodes/us-east-9/remove", body: `{}`, status: 404, answer: noSuchNode})
	aboutReplace = aboutOrder("replaceNode", "Give the places of a server to another one and remove it", "", orderShape("ReplaceOrder", 1, "by", "force"), true,
		example{name: "unknown", target: "/v1/cluster/nodes/us-east-9/replace", body: `{"by":"us-east-4"}`, status: 404, answer: noSuchNode})
	aboutTransfer = aboutOrder("transferGroup", "Have another voter lead a group", "to names it; without it, any that has caught up.", orderShape("TransferOrder", 0, "to"), false,
		example{name: "unknown", target: "/v1/cluster/groups/us-east.9/transfer", body: `{}`, status: 404,
			answer: problemStart + `not_found","title":"Not found","status":404,"detail":"there is no group us-east.9","code":"not_found","applied":"no"}`})
	aboutRemoveRegion = aboutOrder("removeRegion", "Remove a region that owns no keys", "", orderShape("RemoveRegionOrder", 0), false,
		example{name: "none", summary: "A region that there is not", target: "/v1/cluster/regions/mars/remove", body: `{}`, status: 200,
			answer: `{"done":true,"note":"region mars has no servers and no groups: it was removed before, or never was"}`})
)

const noSuchNode = problemStart + `not_found","title":"Not found","status":404,"detail":"there is no node us-east-9","code":"not_found","applied":"no"}`

const settingAnswer = `{"name":"max-watch-age","value":"1h","default":"1h","type":"duration","bounds":"1m to 24h","doc":"..."}`

var (
	aboutGetSettings = about{id: "listSettings", tag: "cluster", summary: "Show all settings", out: answers(settingsBody{}),
		examples: []example{{name: "show", target: "/v1/cluster/settings", status: 200, answer: `{"settings":[` + settingAnswer + `]}`}}}
	aboutGetSetting = about{id: "getSetting", tag: "cluster", summary: "Show a setting", out: answers(api.Setting{}), errors: []int{404},
		examples: []example{{name: "show", target: "/v1/cluster/settings/level-hold", status: 200, answer: settingAnswer}}}
	aboutPutSetting = about{id: "setSetting", tag: "cluster", summary: "Give a setting a value", text: "force allows what makes the cluster less safe.",
		in: asks("SettingRequest", settingBody{}, "value"), must: true, out: answers(api.Setting{}), errors: []int{404, 409},
		examples: []example{{name: "set", target: "/v1/cluster/settings/level-hold", body: `{"value":"on"}`, status: 200, answer: settingAnswer}}}
	aboutDeleteSetting = about{id: "unsetSetting", tag: "cluster", summary: "Give a setting its default again", out: answers(api.Setting{}), errors: []int{404, 409},
		examples: []example{{name: "unset", target: "/v1/cluster/settings/level-hold", status: 200, answer: settingAnswer}}}
	aboutGetLevel = about{id: "getLevel", tag: "cluster", summary: "Show the level of the cluster, and what keeps it from rising", out: answers(api.ClusterLevel{}),
		examples: []example{{name: "show", target: "/v1/cluster/level", status: 200, answer: `{"level":12,"newest":12,"hold":false,"held_by":[]}`}}}
)

var (
	aboutGetLivez = about{id: "getLivez", tag: "node", summary: "Report that the process answers", media: "text/plain; charset=utf-8",
		examples: []example{{name: "alive", target: "/livez", status: 200, answer: "ok\n"}}}
	aboutGetReadyz = about{id: "getReadyz", tag: "node", summary: "Report whether the node routes, serves and has caught up", media: "text/plain; charset=utf-8", errors: []int{503},
		text:     "What is missing is named to callers with the right to observe.",
		examples: []example{{name: "ready", target: "/readyz", status: 200, answer: "ok\n"}}}
	aboutGetMetrics = about{id: "getMetrics", tag: "node", summary: "Metrics in the format of Prometheus", media: "text/plain",
		examples: []example{{name: "scrape", target: "/metrics", status: 200, answer: "# TYPE edgehold_front_requests_total counter\n"}}}
	aboutGetDebug = about{id: "getDebug", tag: "node", summary: "What the node says of itself, for somebody who looks for a fault", media: "application/gzip", errors: []int{503},
		text:     "A gzipped tar: versions, configuration, settings, status, map, metrics, goroutines, a profile of memory, and the newest lines of the log. One is made at a time.",
		examples: []example{{name: "gather", target: "/v1/debug", status: 200, answer: "\x1f\x8b"}}}
	aboutGetOpenAPI = about{id: "getOpenAPI", tag: "node", summary: "This document", out: func(*openapi.Schemas) *openapi.Schema { return &openapi.Schema{Type: "object"} },
		examples: []example{{name: "read", target: "/openapi.json", status: 200, answer: `{"openapi":"3.1.0"}`}}}
)

const devAnswer = `{"regions":["us-east","eu-west"],"cuts":[],"nodes":[{"node":"us-east-1","region":"us-east","role":"server","url":"http://127.0.0.1:7400","state":"up","self":true}]}`

var (
	aboutGetDev = about{id: "getDev", tag: "dev", summary: "Show the planet and the faults in force", out: answers(api.DevStatus{}),
		examples: []example{{name: "show", target: "/v1/dev", status: 200, answer: devAnswer}}, errors: []int{403}}
	aboutDevCut = about{id: "cutRegions", tag: "dev", summary: "Cut two regions off from each other", in: asks("DevLink", devLink{}, "a", "b"), must: true, out: answers(api.DevStatus{}), errors: []int{404},
		examples: []example{{name: "unknown", target: "/v1/dev/cut", body: `{"a":"us-east","b":"mars"}`, status: 404,
			answer: problemStart + `not_found","title":"Not found","status":404,"detail":"the planet has no region \"mars\"","code":"not_found","applied":"no"}`}}}
	aboutDevHeal = about{id: "healRegions", tag: "dev", summary: "Undo a cut, or every cut", in: asks("DevHeal", devLink{}), out: answers(api.DevStatus{}), errors: []int{404},
		examples: []example{{name: "all", target: "/v1/dev/heal", body: `{}`, status: 200, answer: devAnswer}}}
	aboutDevStop = about{id: "stopNode", tag: "dev", summary: "Stop a node", text: "Its data stays.", out: answers(api.DevStatus{}), errors: []int{404, 409},
		examples: []example{{name: "unknown", target: "/v1/dev/nodes/us-east-9/stop", status: 404,
			answer: problemStart + `not_found","title":"Not found","status":404,"detail":"the planet has no node \"us-east-9\"","code":"not_found","applied":"no"}`}}}
	aboutDevStart = about{id: "startNode", tag: "dev", summary: "Start a node that was stopped", text: "The answer comes when the node answers, which may be before it is ready.", out: answers(api.DevStatus{}), errors: []int{404, 409},
		examples: []example{{name: "runs", summary: "A node that runs already", target: "/v1/dev/nodes/us-east-1/start", status: 200, answer: devAnswer}}}
)
