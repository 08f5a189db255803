package httpd

import "github.com/edgehold/edgehold/api"

// devJSON bounds a choice of faults.
var devJSON = body{"body", "application/json", 4 << 10}

func dev(h *handler) bool { return h.HasDev() }

// devLink names two regions.
type devLink struct {
	A api.RegionID `json:"a"`
	B api.RegionID `json:"b"`
}

// devRoute answers with the planet and the faults in force once do has chosen them. Pages of other origins are refused: a planet needs
// no token.
func devRoute(do func(x *exchange) (*api.DevStatus, error)) func(*exchange) error {
	return func(x *exchange) error {
		if err := x.LocalPage(); err != nil {
			return err
		}
		s, err := do(x)
		if err != nil {
			return err
		}
		return x.replyJSON(s)
	}
}

// devLinkRoute is devRoute for a body with two regions. all: it may name none, which means all.
func devLinkRoute(all bool, do func(x *exchange, l devLink) (*api.DevStatus, error)) func(*exchange) error {
	return devRoute(func(x *exchange) (*api.DevStatus, error) {
		raw, err := x.readBody()
		if err != nil {
			return nil, err
		}
		var l devLink
		if len(raw) > 0 {
			if err := decodeStrictly(raw, &l); err != nil {
				return nil, err
			}
		}
		if (l.A == "") != (l.B == "") || l.A == "" && !all {
			return nil, api.Errorf(api.CodeInvalid, `name two regions: {"a":"us-east","b":"eu-west"}`)
		}
		x.writes = true
		return do(x, l)
	})
}

// The choices. postDevStart answers when the node does, which may be before it is ready.
var (
	getDev     = devRoute(func(x *exchange) (*api.DevStatus, error) { return x.Store.DevStatus(x.Ctx) })
	postDevCut = devLinkRoute(false, func(x *exchange, l devLink) (*api.DevStatus, error) {
		return x.Store.CutRegions(x.Ctx, l.A, l.B)
	})
	postDevHeal = devLinkRoute(true, func(x *exchange, l devLink) (*api.DevStatus, error) {
		return x.Store.HealRegions(x.Ctx, l.A, l.B)
	})
	postDevStop = devRoute(func(x *exchange) (*api.DevStatus, error) {
		x.writes = true
		return x.Store.StopNode(x.Ctx, x.of())
	})
	postDevStart = devRoute(func(x *exchange) (*api.DevStatus, error) {
		x.writes = true
		return x.Store.StartNode(x.Ctx, x.of())
	})
)
