package workerskv

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// maxBulkBody bounds the body of a bulk read: every byte of every key as \u00XX, and the rest.
const maxBulkBody = 6*MaxBulkKeys*MaxKeyBytes + 4<<10

// bulkBody is the body of a bulk read. cacheTtl is a number as text, as the binding sends it, or a number.
type bulkBody struct {
	Keys         []string    `json:"keys"`
	Type         string      `json:"type"`
	WithMetadata bool        `json:"withMetadata"`
	CacheTTL     json.Number `json:"cacheTtl"`
}

// bulk answers with the values of several keys, as an object by name; null for a key that is absent.
func (q *request) bulk(x *door.Exchange) error {
	b, err := body(x, "Body", maxBulkBody)
	if err != nil {
		return err
	}
	ask, err := parseBulk(b)
	if err == nil {
		err = q.cacheTTL(ask.CacheTTL != "", ask.CacheTTL.String())
	}
	if err != nil {
		return err
	}
	var out api.ReadResult
	err = q.read(x.Ctx, x.Store, ask.Keys, ask.WithMetadata, &out)
	if api.CodeOf(err) == api.CodeTooLarge {
		return refuse(http.StatusRequestEntityTooLarge, "Total size of request exceeds the limit of "+strconv.Itoa(api.MaxReadBytes>>20)+"MB")
	}
	if err != nil {
		return err
	}
	answer, err := ask.answer(out.Entries)
	if err != nil {
		return err
	}
	reply(x, http.StatusOK, jsonType, answer)
	return nil
}

// parseBulk reads the body of a bulk read. A key that is named twice is kept once.
func parseBulk(b []byte) (*bulkBody, error) {
	var ask bulkBody
	if err := json.Unmarshal(b, &ask); err != nil {
		return nil, refuse(http.StatusBadRequest, "The body must be JSON: keys, type, withMetadata and cacheTtl.")
	}
	switch n := len(ask.Keys); {
	case n > MaxBulkKeys:
		return nil, refuse(http.StatusBadRequest, "You can request a maximum of "+strconv.Itoa(MaxBulkKeys)+" keys")
	case n == 0:
		return nil, refuse(http.StatusBadRequest, "You must request a minimum of 1 key")
	case ask.Type != "" && ask.Type != "text" && ask.Type != "json":
		return nil, refuse(http.StatusBadRequest, strconv.Quote(short(ask.Type))+` is not a valid type. Use "json" or "text"`)
	}
	once := make(map[string]bool, len(ask.Keys))
	keys := ask.Keys[:0]
	for _, k := range ask.Keys {
		if err := checkKey(k); err != nil {
			return nil, err
		}
		if !once[k] {
			once[k] = true
			keys = append(keys, k)
		}
	}
	ask.Keys = keys
	return &ask, nil
}

// answer is the object of what the keys hold.
func (a *bulkBody) answer(entries []api.Entry) ([]byte, error) {
	step := 1
	if a.WithMetadata {
		step = 2
	}
	buf := []byte{'{'}
	for i, name := range a.Keys {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(appendText(buf, name), ':')
		e := &entries[step*i]
		if !e.Exists {
			buf = append(buf, "null"...)
			continue
		}
		value, err := a.value(e.Value)
		if err != nil {
			return nil, err
		}
		if a.WithMetadata {
			buf = append(append(buf, `{"value":`...), value...)
			meta := metadataOf(entries[step*i+1].Value)
			if meta == nil {
				meta = []byte("null")
			}
			buf = append(append(append(buf, `,"metadata":`...), meta...), '}')
		} else {
			buf = append(buf, value...)
		}
	}
	return append(buf, '}'), nil
}

// value is a value in the type that was asked for. As in the binding's own reads, text that is not UTF-8 has replacement characters,
// and a byte order mark is left out.
func (a *bulkBody) value(b []byte) ([]byte, error) {
	b = bytes.ToValidUTF8(bytes.TrimPrefix(b, []byte("\ufeff")), []byte("\ufffd"))
	if a.Type != "json" {
		return appendText(nil, string(b)), nil
	}
	if !json.Valid(b) {
		return nil, refuse(http.StatusBadRequest, "At least one of the requested keys corresponds to a non-json value")
	}
	return b, nil
}

// appendText appends the text, which is UTF-8, as JSON.
func appendText(dst []byte, text string) []byte {
	b, err := json.Marshal(text)
	if err != nil { // not with text
		return append(dst, "null"...)
	}
	return append(dst, b...)
}
