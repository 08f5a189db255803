package httpd

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/edgehold/edgehold/api"
)

// statusBody is api.Status with the bounds of ranges rendered, and lists that are never null.
type statusBody struct {
	api.Status
	Ranges []rangeBody `json:"ranges"`
}

type rangeBody struct {
	Start    *string     `json:"start,omitempty"`
	StartB64 []byte      `json:"start_base64,omitempty"`
	End      *string     `json:"end,omitempty"`
	EndB64   []byte      `json:"end_base64,omitempty"`
	Group    api.GroupID `json:"group"`
	Epoch    uint64      `json:"epoch"`
}

// getCluster answers with the cluster as this node sees it.
func getCluster(x *exchange) error {
	s, err := x.Store.Status(x.Ctx)
	if err != nil {
		return err
	}
	return x.replyJSON(bodyOf(s))
}

// bodyOf renders the status.
func bodyOf(s *api.Status) statusBody {
	body := statusBody{Status: *s, Ranges: make([]rangeBody, 0, len(s.Ranges))}
	if body.Nodes == nil {
		body.Nodes = []api.NodeStatus{}
	}
	body.Groups = make([]api.GroupStatus, 0, len(s.Groups))
	for _, g := range s.Groups {
		if g.Voters == nil {
			g.Voters = []api.NodeID{}
		}
		body.Groups = append(body.Groups, g)
	}
	for _, r := range s.Ranges {
		out := rangeBody{Group: r.Group, Epoch: r.Epoch}
		out.Start, out.StartB64 = textOrBytes(r.Start)
		out.End, out.EndB64 = textOrBytes(r.End)
		body.Ranges = append(body.Ranges, out)
	}
	return body
}

// placementJSON is a prefix in base64 and a name.
var placementJSON = body{"body", "application/json", 64 << 10}

// placementBody asks that a region, or one group of a region, own all keys with a prefix.
type placementBody struct {
	Prefix    *string      `json:"prefix,omitempty"`
	PrefixB64 []byte       `json:"prefix_base64,omitempty"`
	Region    api.RegionID `json:"region,omitempty"`
	Group     api.GroupID  `json:"group,omitempty"`
}

// postPlacement does what `edgehold placement set` asks.
func postPlacement(x *exchange) error {
	raw, err := x.readBody()
	if err != nil {
		return err
	}
	var body placementBody
	if err := decodeStrictly(raw, &body); err != nil {
		return err
	}
	prefix := api.Key(body.PrefixB64)
	switch {
	case (body.Prefix == nil) == (body.PrefixB64 == nil):
		return api.Errorf(api.CodeInvalid, "name the keys by one of prefix and prefix_base64")
	case (body.Region == "") == (body.Group == ""):
		return api.Errorf(api.CodeInvalid, "name what is to own the keys by one of region and group")
	case body.Prefix != nil:
		prefix = api.Key(*body.Prefix)
	}
	if len(prefix) > api.MaxKeyBytes {
		return api.Errorf(api.CodeTooLarge, "prefix of %d bytes is over the limit of %d bytes", len(prefix), api.MaxKeyBytes)
	}
	x.writes = true
	if body.Group != "" {
		err = x.Store.SetPlacementGroup(x.Ctx, prefix, body.Group)
	} else {
		err = x.Store.SetPlacement(x.Ctx, prefix, body.Region)
	}
	if err != nil {
		return err
	}
	return x.replyJSON(body)
}

// decodeStrictly reads one JSON value without unknown members.
func decodeStrictly(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(raw, []byte(byteOrderMark))))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return api.Errorf(api.CodeInvalid, "the body is not the JSON that belongs here: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return api.Errorf(api.CodeInvalid, "the body goes on after its JSON")
	}
	return nil
}
