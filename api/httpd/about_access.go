package httpd

import "github.com/edgehold/edgehold/api"

// What the document says of the routes about tokens and policies, and of those by which nodes join.

const (
	shownWeb   = `{"id":"7f3a","name":"web","policies":["read-all"],"by":"root","created":"2026-11-30T12:00:00Z"}`
	madeWeb    = `{"id":"7f3a","name":"web","policies":["read-all"],"by":"root","created":"2026-11-30T12:00:00Z","token":"eh_...","revision":4}`
	toldAnswer = `{"revision":5}`
	shownJoin  = `{"id":"9c21","role":"edge","region":"ap-south","uses":1,"expires":"2026-12-01T12:00:00Z","by":"root","created":"2026-11-30T12:00:00Z"`
)

var aboutGetSelf = about{id: "getSelf", tag: "access", summary: "Show who the caller is, and what it may do", out: answers(api.Self{}),
	examples: []example{{name: "who", target: "/v1/access/self", status: 200, answer: `{"principal":"","rules":[{"prefix":"","read":true,"list":true,"write":true}],"observe":true,"operate":true,"admin":true,"node":"us-east-1","revision":0}`}}}

var (
	aboutPostAccessToken = about{id: "createToken", tag: "access", summary: "Make a token", text: "The answer is the only place where its secret is ever shown. A bound that is given is not 0.",
		in: asks("AccessTokenRequest", accessTokenBody{}, "name"), must: true, out: answers(api.NewAccessToken{}), errors: []int{404, 409},
		examples: []example{{name: "make", target: "/v1/access/tokens", body: `{"name":"web","policies":["read-all"]}`, status: 200, answer: madeWeb}}}
	aboutGetAccessTokens = about{id: "listTokens", tag: "access", summary: "Show the tokens, without their secrets", out: answers(accessTokensBody{}),
		examples: []example{{name: "show", target: "/v1/access/tokens", status: 200, answer: `{"tokens":[` + shownWeb + `]}`}}}
	aboutGetAccessToken = about{id: "getToken", tag: "access", summary: "Show a token, without its secret", out: answers(api.AccessToken{}), errors: []int{404},
		examples: []example{{name: "show", target: "/v1/access/tokens/web", status: 200, answer: shownWeb}}}
	aboutRotateToken = about{id: "rotateToken", tag: "access", summary: "Give a token a new secret", text: "The old one is accepted for keep longer; without it, it ends at once.",
		in: asks("RotateTokenRequest", rotateBody{}), must: true, out: answers(api.NewAccessToken{}), errors: []int{404, 409},
		examples: []example{{name: "rotate", target: "/v1/access/tokens/web?wait=10s", body: `{"keep":"1h"}`, status: 200, answer: madeWeb}}}
	aboutDeleteAccessToken = about{id: "revokeToken", tag: "access", summary: "End a token for good", out: answers(api.Told{}), errors: []int{404, 409},
		examples: []example{{name: "revoke", target: "/v1/access/tokens/web", status: 200, answer: toldAnswer}}}
)

var (
	aboutGetPolicies = about{id: "listPolicies", tag: "access", summary: "Show the policies", out: answers(policiesBody{}),
		examples: []example{{name: "show", target: "/v1/access/policies", status: 200, answer: `{"policies":[{"name":"observe","observe":true,"built_in":true}]}`}}}
	aboutPutPolicy = about{id: "setPolicy", tag: "access", summary: "Add a policy, or replace it",
		in: asks("PolicyRequest", api.Policy{}), must: true, out: answers(api.Told{}), errors: []int{409},
		examples: []example{{name: "set", target: "/v1/access/policies/shop", body: `{"rules":[{"prefix":"shop/","read":true,"list":true}]}`, status: 200, answer: toldAnswer}}}
	aboutGetPolicy = about{id: "getPolicy", tag: "access", summary: "Show a policy", out: answers(api.Policy{}), errors: []int{404},
		examples: []example{{name: "show", target: "/v1/access/policies/shop", status: 200, answer: `{"name":"shop","rules":[{"prefix":"shop/","read":true,"list":true}],"by":"root"}`}}}
	aboutDeletePolicy = about{id: "deletePolicy", tag: "access", summary: "Remove a policy", text: "It is a conflict if a token has it, unless force is given.", out: answers(api.Told{}), errors: []int{404, 409},
		examples: []example{{name: "remove", target: "/v1/access/policies/shop?force=true", status: 200, answer: toldAnswer}}}
)

var (
	aboutPostJoin = about{id: "join", tag: "join", summary: "Admit a node that shows a join token", text: "It is what a node does when it starts: see `edgehold server --join`.",
		in: asks("JoinRequest", api.JoinRequest{}, "token", "csr", "node", "region", "role"), must: true, out: answers(api.JoinAnswer{}), errors: []int{409},
		examples: []example{{name: "join", target: "/v1/join", body: `{"token":"ehj_...","csr":"MIH=","node":"ap-south-edge-2","region":"ap-south","role":"edge","advertise":"10.0.0.9:7400","level":12}`, status: 200,
			answer: `{"cluster_id":"c1","certificate":"MIIB","roots":["MIIB"],"map":"AQ==","num":9}`}}}
	aboutPostJoinToken = about{id: "createJoinToken", tag: "join", summary: "Make a token by which nodes join", text: "The answer is the only place where its secret is ever shown.",
		in: asks("JoinTokenRequest", joinTokenBody{}), must: true, out: answers(api.NewJoinToken{}), errors: []int{404, 409},
		examples: []example{{name: "make", target: "/v1/cluster/tokens", body: `{"role":"edge","region":"ap-south","ttl":"24h"}`, status: 200, answer: shownJoin + `,"token":"ehj_..."}`}}}
	aboutGetJoinTokens = about{id: "listJoinTokens", tag: "join", summary: "Show the join tokens, without their secrets", out: answers(joinTokensBody{}), errors: []int{409},
		examples: []example{{name: "show", target: "/v1/cluster/tokens", status: 200, answer: `{"tokens":[` + shownJoin + `}]}`}}}
	aboutDeleteJoinToken = about{id: "revokeJoinToken", tag: "join", summary: "End a join token", text: "Nodes that have joined by it stay.", errors: []int{404, 409},
		examples: []example{{name: "revoke", target: "/v1/cluster/tokens/9c21", status: 204}}}
)
