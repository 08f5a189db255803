package httpd

import (
	"github.com/edgehold/edgehold/api"
)

var slowParams = []string{"node"}

func hasSlow(h *handler) bool { return h.HasSlow() }

// slowBody is api.SlowReport with the keys rendered, and lists that are never null.
type slowBody struct {
	Nodes []api.SlowNode `json:"nodes"`
	Slow  []slowRow      `json:"slow"`
	Hot   []hotRow       `json:"hot"`
}

type slowRow struct {
	keyText
	api.SlowRequest
}

type hotRow struct {
	keyText
	api.HotKey
}

// getSlow answers with the slowest requests of the last minutes and the keys that are asked for most.
func getSlow(x *exchange) error {
	r, err := x.Store.SlowRequests(x.Ctx, api.NodeID(x.query.Get("node")))
	if err != nil {
		return err
	}
	body := slowBody{Nodes: r.Nodes, Slow: make([]slowRow, 0, len(r.Slow)), Hot: make([]hotRow, 0, len(r.Hot))}
	for i := range r.Slow {
		body.Slow = append(body.Slow, slowRow{keyUnless(r.Slow[i].Hidden, r.Slow[i].Key), r.Slow[i]})
	}
	for i := range r.Hot {
		body.Hot = append(body.Hot, hotRow{keyUnless(r.Hot[i].Hidden, r.Hot[i].Key), r.Hot[i]})
	}
	return x.replyJSON(body)
}

// keyUnless is the key in JSON, or nothing if it is hidden.
func keyUnless(hidden bool, k api.Key) keyText {
	if hidden {
		return keyText{}
	}
	return textOfKey(k)
}
