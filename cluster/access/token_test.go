package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// TestToken: a token has 53 characters that begin with ehk1_, reads back as it was made, and is shown by no formatting.
func TestToken(t *testing.T) {
	random := bytes.NewReader(bytes.Repeat([]byte{0xa5}, idBytes+secretBytes))
	made, err := NewToken(random)
	if err != nil {
		t.Fatal(err)
	}
	text := made.Secret().Reveal()
	if len(text) != TokenBytes || !strings.HasPrefix(text, "ehk1_") {
		t.Errorf("the token is %q", text)
	}
	var read Token
	if !read.parse(text) || read != made {
		t.Errorf("%q reads as %v", text, read.ID)
	}
	if shown := fmt.Sprintf("%v %s %q %#v %+v", made.Secret(), made.Secret(), made.Secret(), made.Secret(), struct{ S api.Secret }{made.Secret()}); strings.Contains(shown, text[5:]) {
		t.Errorf("the token is shown: %s", shown)
	}
	if _, err := NewToken(random); err == nil {
		t.Error("a token without random bytes")
	}
}

// wrong returns tokens that are none, by what is wrong with them. The secret of good is known, and so is the id of revoked.
func wrong(t *testing.T, good, revoked string) map[string]string {
	var other, known Token
	if !known.parse(good) {
		t.Fatal("the good token is malformed")
	}
	other = known
	other.ID[0] ^= 1
	bad, err := known.WithNewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{
		"unknown id": other.Secret().Reveal(), "wrong secret": bad.Secret().Reveal(), "revoked": revoked,
		"cut": good[:52], "longer": good + "A", "padding": good + "=", "padded": good[:50] + "===", "spaces": " " + good[:52],
		"unicode": "ehk1_" + strings.Repeat("ä", 24), "other prefix": "ehj1_" + good[5:], "upper case": strings.ToUpper(good), "a word": "secret",
		"standard alphabet": good[:20] + "+" + good[21:], "newline": good[:30] + "\n" + good[31:], "zeros": "ehk1_" + strings.Repeat("A", 48),
		"long": strings.Repeat("e", 1<<20), "the scheme alone": "-",
	}
	for i := range []byte(good) { // one character mistyped, at each place
		b := []byte(good)
		if b[i] = 'B'; good[i] == 'B' {
			b[i] = 'C'
		}
		all[fmt.Sprintf("mistyped at %d", i)] = string(b)
	}
	return all
}

// TestUnknownTokens: whatever is wrong with a token, the refusal is the same, and so is the work: one sum over as many bytes.
//
// Attack 27: padding, unicode, a long one, another alphabet. Attack 28: unknown id, wrong secret and revoked cannot be distinguished by
// the work they cost.
func TestUnknownTokens(t *testing.T) {
	r := &roll{}
	good, revoked := r.token(t, "good", "all"), r.token(t, "revoked", "all")
	r.Tokens = r.Tokens[:1]
	w := warden(r, server)
	var sums []int
	w.sum = func(b []byte) [sha256.Size]byte {
		sums = append(sums, len(b))
		return sha256.Sum256(b)
	}
	if p, err := w.Authenticate(good, ""); err != nil || p.Name != "good" || p.ID == "" {
		t.Fatalf("the good token: %+v, %v", p, err)
	}
	if want := []int{secretBytes}; !slices.Equal(sums, want) {
		t.Errorf("a good token costs sums over %v", sums)
	}
	for what, text := range wrong(t, good, revoked) {
		sums = nil
		p, err := w.Authenticate(text, "")
		if e := api.AsError(err); err == nil || e.Code != api.CodeUnauthenticated || e.Hint != "the token is not known here" || p != nil {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
		if len(sums) != 1 || sums[0] != secretBytes {
			t.Errorf("%s costs sums over %v", what, sums)
		}
	}
}

// TestComparesBothSecrets: a token that is rotated is known by either secret, and by neither once they are gone.
func TestComparesBothSecrets(t *testing.T) {
	r := &roll{}
	old := r.token(t, "app", "all")
	oldHash := r.Tokens[0].Hashes[0]
	r.Tokens = nil
	now := r.add(t, r.AccessTokenOf("app", oldHash))
	// the old secret belongs to the id of the new one
	var o, n Token
	if !o.parse(old) || !n.parse(now) {
		t.Fatal("malformed")
	}
	o.ID = n.ID
	w := warden(r, server)
	for what, text := range map[string]string{"the new one": now, "the old one": o.Secret().Reveal()} {
		if _, err := w.Authenticate(text, ""); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	p, err := w.Authenticate(o.Secret().Reveal(), "")
	if err != nil {
		t.Fatal(err)
	}
	r.Tokens[0].Hashes = r.Tokens[0].Hashes[:1]
	r.Revision++
	w.Update(Source{Roll: r.now()})
	if err := w.Check(p); api.CodeOf(err) != api.CodeUnauthenticated {
		t.Errorf("a principal whose secret has ended: %v", err)
	}
	if err := w.AllowKey(p, "read", front.Read, "k"); api.CodeOf(err) != api.CodeUnauthenticated {
		t.Errorf("its read: %v", err)
	}
}
