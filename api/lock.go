package api

import (
	"encoding/json"
	"unicode/utf8"
)

// Lock is a key held by a transaction across groups whose decision group does not answer. No client can read or write the key
// until the decision group is back.
type Lock struct {
	Key Key
	// Decider is the group that decides the transaction.
	Decider GroupID
	// Seconds is how long the leader has seen the lock, in seconds.
	Seconds float64
}

// lockBody is a Lock in JSON. A key that is not valid UTF-8 is in base64.
type lockBody struct {
	Key     *string `json:"key,omitempty"`
	KeyB64  []byte  `json:"key_base64,omitempty"`
	Decider GroupID `json:"decider"`
	Seconds float64 `json:"seconds"`
}

// MarshalJSON renders the lock as GET /v1/cluster shows it.
func (l Lock) MarshalJSON() ([]byte, error) {
	body := lockBody{Decider: l.Decider, Seconds: l.Seconds}
	if text := string(l.Key); utf8.ValidString(text) {
		body.Key = &text
	} else {
		body.KeyB64 = []byte(l.Key)
	}
	return json.Marshal(body)
}

// UnmarshalJSON parses what MarshalJSON renders.
func (l *Lock) UnmarshalJSON(b []byte) error {
	var body lockBody
	if err := json.Unmarshal(b, &body); err != nil {
		return err
	}
	*l = Lock{Key: Key(body.KeyB64), Decider: body.Decider, Seconds: body.Seconds}
	if body.Key != nil {
		l.Key = Key(*body.Key)
	}
	return nil
}
