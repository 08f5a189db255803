package kvconnect

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// maxMetadataBytes bounds the body of a metadata exchange.
const maxMetadataBytes = 64 << 10

// metadata is the answer to a metadata exchange. Clients refuse one with further fields.
type metadata struct {
	Version    int        `json:"version"`
	DatabaseID string     `json:"databaseId"`
	Endpoints  []endpoint `json:"endpoints"`
	Token      string     `json:"token"`
	ExpiresAt  string     `json:"expiresAt"`
}

type endpoint struct {
	URL         string `json:"url"`
	Consistency string `json:"consistency"`
}

// exchange answers a metadata exchange: this node answers strong reads, too. It needs the right to list the whole database, and refuses
// a database whose keys are not of one shard.
func (s *server) exchange(x *door.Exchange, d database) error {
	body, err := x.Body(maxMetadataBytes, "body")
	if err != nil {
		return err
	}
	version, err := chooseVersion(body)
	if err != nil {
		return err
	}
	all := api.PrefixRange(d.prefix())
	_, err = x.Store.List(x.Ctx, &api.ListRequest{Range: all, Limit: 1, KeysOnly: true, Also: []api.ListPart{{Range: all, Limit: 1, KeysOnly: true}}})
	if api.CodeOf(err) == api.CodeInvalid {
		return api.Errorf(api.CodeInvalid, "the keys %s of the database %q belong to several groups or ranges of the placement map, and its versionstamps "+
			"would not rise: place the whole prefix in one region, and no prefix below it elsewhere", d.prefix(), d.name)
	}
	if err != nil {
		return err
	}
	base := "./" + d.name + "/" // beside the URL of the exchange, whatever a proxy has made of it
	if version == 1 {
		base = s.scheme() + "://" + x.R.Host + pathPrefix + d.name + "/"
	}
	answer, err := json.Marshal(metadata{
		Version: version, DatabaseID: d.id(), Token: tokenOf(x),
		Endpoints: []endpoint{{base + strong, "strong"}, {base + eventual, "eventual"}},
		ExpiresAt: time.Now().Add(metadataLife).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Err: err}
	}
	return reply(x, jsonType, answer)
}

// chooseVersion returns the newest version that the client speaks; 1 if it does not say. CodeInvalid if there is none.
func chooseVersion(body []byte) (int, error) {
	if len(body) == 0 {
		return 1, nil
	}
	var q struct {
		SupportedVersions []float64 `json:"supportedVersions"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return 0, api.Errorf(api.CodeInvalid, `the body is not of the form {"supportedVersions":[1,2,3]}`)
	}
	for v := 3; v > 0; v-- {
		if slices.Contains(q.SupportedVersions, float64(v)) {
			return v, nil
		}
	}
	return 0, api.Errorf(api.CodeInvalid, "no version of the protocol is spoken by both sides: this node speaks 1, 2 and 3")
}

// tokenOf returns the token that the client is to send on the data path: its own.
func tokenOf(x *door.Exchange) string {
	_, token, _ := strings.Cut(x.R.Header.Get("Authorization"), " ")
	if token == "" {
		return Anonymous
	}
	return token
}

// scheme returns the scheme of the node's URLs.
func (s *server) scheme() string {
	if strings.HasPrefix(s.backend.URL, "https://") {
		return "https"
	}
	return "http"
}
