package consul

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// kv is an operation as a client sends it.
func kv(verb, key, more string) string {
	return fmt.Sprintf(`{"KV":{"Verb":%q,"Key":%q%s}}`, verb, key, more)
}

func value(text string) string {
	return `,"Value":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"`
}

// txn sends operations. It returns the results, or the errors by the number of the operation.
func (c *client) txn(ops ...string) (results []pair, errs map[int]string) {
	c.Helper()
	r := c.ask("PUT /v1/txn", "["+strings.Join(ops, ",")+"]")
	var a struct {
		Results []struct{ KV pair }
		Errors  []txnError
	}
	if err := json.Unmarshal([]byte(r.body), &a); err != nil {
		c.Fatalf("%s is answered %d %s", ops, r.status, r.body)
	}
	if (r.status == 409) != (len(a.Errors) > 0) || (r.status == 200) != (a.Errors == nil) {
		c.Errorf("%s is answered %d %s", ops, r.status, r.body)
	}
	errs = map[int]string{}
	for _, e := range a.Errors {
		errs[e.OpIndex] = e.What
	}
	for _, x := range a.Results {
		results = append(results, x.KV)
	}
	return results, errs
}

// TestTxn: all operations take effect, one after the other, or none.
func TestTxn(t *testing.T) {
	c := newClient(t)
	s := c.session("")
	c.want("PUT /v1/kv/a?flags=2", "one", 200, "true")
	a := c.one("a")
	results, errs := c.txn(
		kv("get", "a", ""), kv("check-index", "a", fmt.Sprintf(`,"Index":%d`, a.ModifyIndex)), kv("check-not-exists", "b", ""), kv("set", "b", value("two")+`,"Flags":5`),
		kv("get", "b", ""), kv("lock", "c", value("three")+`,"Session":"`+s+`"`), kv("check-session", "c", `,"Session":"`+s+`"`),
		kv("cas", "a", value("four")+fmt.Sprintf(`,"Index":%d`, a.ModifyIndex)), kv("get-tree", "", ""), kv("get-or-empty", "none", ""), kv("delete", "none", ""))
	if len(errs) > 0 || len(results) != 11 {
		t.Fatalf("%v, %+v", errs, results)
	}
	if none := results[10]; none.Key != "none" || none.ModifyIndex != 0 || none.CreateIndex != 0 {
		t.Errorf("an absent key is %+v", none)
	}
	if string(results[0].Value) != "one" || string(results[3].Value) != "two" || results[2].Value != nil || results[3].Flags != 5 || results[4].Session != s || results[4].LockIndex != 1 ||
		string(results[7].Value) != "four" || string(results[8].Value) != "two" || results[9].Key != "c" {
		t.Errorf("%+v", results)
	}
	index := c.one("a").ModifyIndex
	for i, p := range results[2:7] {
		if p.ModifyIndex != index || i != 4 && p.CreateIndex != index && p.Key != "a" {
			t.Errorf("%+v, and the index of the transaction is %d", p, index)
		}
	}
	if p := c.one("c"); p.Session != s || p.CreateIndex != index {
		t.Errorf("%+v", p)
	}
	stale := fmt.Sprintf(`,"Index":%d`, a.ModifyIndex)
	_, errs = c.txn(kv("set", "a", value("x")), kv("cas", "b", value("x")+stale), kv("delete-cas", "b", stale), kv("check-not-exists", "a", ""), kv("get", "none", ""), kv("unlock", "b", value("")),
		kv("nosuch", "a", ""), kv("check-index", "b", stale), kv("check-index", "none", ""), kv("check-session", "c", ""), kv("lock", "c", `,"Session":"x"`), kv("delete-tree", "", ""))
	for i, want := range map[int]string{
		1: `failed to set key "b", index is stale`, 2: `failed to delete key "b", index is stale`, 3: `key "a" exists`, 4: `key "none" doesn't exist`,
		5: `failed to unlock key "b", lock isn't held, or is held by another session`, 6: `unknown KV verb "nosuch"`,
		7: fmt.Sprintf(`failed index check for key "b", current modify index %d != %d`, index, a.ModifyIndex), 8: `failed to check index, key "none" doesn't exist`,
		9: fmt.Sprintf(`failed session check for key "c", current session %q != ""`, s), 10: `invalid session "x"`,
	} {
		if errs[i] != want {
			t.Errorf("operation %d: %q, want %q", i, errs[i], want)
		}
	}
	if len(errs) != 10 || string(c.one("a").Value) != "four" {
		t.Errorf("%v, %+v", errs, c.one("a"))
	}
	if results, errs = c.txn(kv("unlock", "c", value("five")+`,"Session":"`+s+`"`), kv("delete-tree", "a", ""), kv("get-tree", "", "")); len(errs) > 0 || len(results) != 3 {
		t.Errorf("%v, %+v", errs, results)
	}
	c.want("GET /v1/kv/?keys", "", 200, `["b","c"]`)
	c.want("PUT /v1/txn", "x", 400, "Failed to parse body: invalid character 'x' looking for beginning of value")
	c.want("PUT /v1/txn", `[{"Node":{}}]`, 400, "Failed to parse body: operation 0 is not on a key, and others are not served")
	c.want("PUT /v1/txn", `[{"KV":{"Verb":"set"}}]`, 400, "Must provide key")
	c.want("PUT /v1/txn", "["+strings.Repeat(kv("get", "b", "")+",", 128)+kv("get", "b", "")+"]", 413, "Transaction contains too many operations (129 > 128)")
	probe := make([]string, 128) // as Vault asks whether it may have so many
	for i := range probe {
		probe[i] = kv("get-or-empty", "vault/F35C28E1", "")
	}
	if results, errs := c.txn(probe...); len(errs) > 0 || len(results) != 128 {
		t.Errorf("%v, %d results", errs, len(results))
	}
	if _, errs := c.txn(); len(errs) > 0 {
		t.Error(errs)
	}
}

// TestIndexZero: no key that exists has the index 0, also none that the transaction itself has written.
func TestIndexZero(t *testing.T) {
	c := newClient(t)
	c.want("PUT /v1/kv/old", "x", 200, "true")
	for _, key := range []string{"old", "new"} {
		for _, verb := range []string{"check-index", "delete-cas", "cas"} {
			if _, errs := c.txn(kv("set", key, value("y")), kv(verb, key, `,"Index":0`)); len(errs) != 1 || errs[1] == "" {
				t.Errorf("%s of %s: %v", verb, key, errs)
			}
		}
	}
	if _, errs := c.txn(kv("set", "new", value("y")), kv("delete", "new", ""), kv("delete-cas", "new", `,"Index":0`), kv("cas", "new", `,"Index":0`)); len(errs) > 0 {
		t.Error(errs)
	}
	c.want("GET /v1/kv/old?raw", "", 200, "x")
}

// TestTxnAnswerIsBounded: a transaction that gets a value again and again has no answer that is many times what a read may have, and writes
// nothing.
func TestTxnAnswerIsBounded(t *testing.T) {
	c := newClient(t)
	c.want("PUT /v1/kv/a", strings.Repeat("x", maxValueBytes), 200, "true")
	ops := []string{kv("set", "b", value("y"))}
	for range maxResultBytes/maxValueBytes + 1 {
		ops = append(ops, kv("get-tree", "a", ""))
	}
	if r := c.ask("PUT /v1/txn", "["+strings.Join(ops, ",")+"]"); r.status != 413 {
		t.Errorf("%d gets are answered %d with %d bytes", len(ops)-1, r.status, len(r.body))
	}
	c.want("GET /v1/kv/b", "", 404, "")
}
