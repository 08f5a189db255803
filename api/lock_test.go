package api

import (
	"encoding/json"
	"testing"
)

func TestLockJSON(t *testing.T) {
	for _, c := range []struct {
		lock Lock
		text string
	}{
		{Lock{Key: "us/a", Decider: "eu.1", Seconds: 2.5}, `{"key":"us/a","decider":"eu.1","seconds":2.5}`},
		{Lock{Key: "\xff", Decider: "eu.1"}, `{"key_base64":"/w==","decider":"eu.1","seconds":0}`},
	} {
		b, err := json.Marshal(c.lock)
		if err != nil || string(b) != c.text {
			t.Errorf("%+v became %s, %v", c.lock, b, err)
		}
		var back Lock
		if err := json.Unmarshal(b, &back); err != nil || back != c.lock {
			t.Errorf("%s became %+v, %v", b, back, err)
		}
	}
}
