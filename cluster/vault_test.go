package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/gob"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestVaultStays: no answer that a voter of the meta group gives to a node, and no file of another node, has anything of the vault.
func TestVaultStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		s1 := b.found()
		second := b.config("e1", api.RoleEdge)
		second.Join, second.Dir = []string{"s1"}, t.TempDir()
		e1 := b.open(second)
		b.ready(e1)

		ctx := t.Context()
		ca, err := join.NewCA(s1.mirror.Map().ClusterID)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ca.Key()
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256([]byte("the secret of a join token"))
		token := placement.JoinToken{ID: placement.TokenID{7, 7, 7}, Hash: hash[:], Role: api.RoleEdge, Uses: 1}
		var answers [][]byte
		for _, c := range []placement.Command{
			placement.Secure{Security: placement.Both, Root: ca.Certificate.Raw, Key: key}, placement.PutJoinToken{Token: token},
			placement.PutPolicy{Policy: placement.Policy{Name: "p", Observe: true}},
		} {
			done, err := methodPropose.Call(ctx, s1.pool.Remote("s1"), &proposal{placement.Encode(c)})
			if err != nil {
				t.Fatalf("%T: %v", c, err)
			}
			answers = append(answers, encodedAnswer(t, done))
		}
		vault, err := s1.members.get(ident.MetaGroup).meta.Vault(ctx)
		if err != nil || !bytes.Equal(vault.CAKey, key) || len(vault.Tokens) != 1 {
			t.Fatalf("the vault has %d bytes of key and %d tokens, %v", len(vault.CAKey), len(vault.Tokens), err)
		}
		at := s1.pool.Remote("s1")
		for _, ask := range []func() (any, error){
			func() (any, error) { return methodPoll.Ask(ctx, at, &poll{}) },
			func() (any, error) { return methodPoll.Ask(ctx, at, &poll{Since: 1, SinceRoll: 1}) },
			func() (any, error) { return methodMap.Ask(ctx, at, &peer.Nothing{}) },
			func() (any, error) { return methodReport.Ask(ctx, at, &reportQuestion{}) },
			func() (any, error) { return s1.Status(ctx) },
			func() (any, error) { return s1.Settings(ctx) },
		} {
			a, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, encodedAnswer(t, a))
		}
		time.Sleep(30 * time.Second)
		for _, file := range []string{"placement", "roll"} {
			kept, err := os.ReadFile(filepath.Join(second.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, kept)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		private, err := parsed.(*ecdsa.PrivateKey).Bytes()
		if err != nil || !bytes.Contains(key, private) {
			t.Fatal("the key does not have its private number:", err)
		}
		for i, a := range answers {
			for name, secret := range map[string][]byte{"the CA's key": private, "the hash of a join token": hash[:], "the id of a join token": token.ID[:]} {
				if bytes.Contains(a, secret) {
					t.Errorf("answer %d has %s", i, name)
				}
			}
		}
		if !bytes.Contains(answers[3], ca.Certificate.Raw) {
			t.Error("a poll does not bring what it should: this test looks at the wrong bytes")
		}
		if m := e1.mirror.Map(); m.Security != placement.Both || e1.mirror.Roll().Revision == 0 {
			t.Errorf("the edge knows security %q and revision %d", m.Security, e1.mirror.Roll().Revision)
		}
	})
}

// encodedAnswer is the answer as bytes in which those of its fields stand as they are.
func encodedAnswer(t *testing.T, a any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(a); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
