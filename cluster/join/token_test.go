package join

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

func newTestToken(t *testing.T) Token {
	t.Helper()
	token, err := NewToken(Pin{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestTokenText: a token comes back from its text, which has 85 characters.
func TestTokenText(t *testing.T) {
	token := newTestToken(t)
	text := token.Reveal()
	if len(text) != 85 || !strings.HasPrefix(text, "ehj1_") {
		t.Errorf("the text has %d characters", len(text))
	}
	back, err := ParseToken(" " + text + "\n")
	if err != nil || back != token {
		t.Errorf("read back: %v", err)
	}
	id, err := ParseTokenID(token.ID.String())
	if err != nil || id != token.ID {
		t.Errorf("the id read back: %v", err)
	}
	for _, bad := range []string{"", "x", token.ID.String()[1:], token.ID.String() + "00", text} {
		if _, err := ParseTokenID(bad); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("ParseTokenID of %d characters: %v", len(bad), err)
		}
	}
}

// TestTokenTypingErrors: a token that differs in one character or one bit, or is cut off, is not one, and no error shows it.
// Attack 17.
func TestTokenTypingErrors(t *testing.T) {
	text := newTestToken(t).Reveal()
	bad := []string{"", "ehj1_", "ehk1_" + text[5:], text + "A", text[:40] + "\n" + text[41:], strings.ToUpper(text), text + text}
	for i := range text {
		bad = append(bad, text[:i], text[:i]+text[i+1:])
		for bit := range 8 {
			b := []byte(text)
			b[i] ^= 1 << bit
			bad = append(bad, string(b))
		}
		if i+1 < len(text) && text[i] != text[i+1] {
			bad = append(bad, text[:i]+text[i+1:i+2]+text[i:i+1]+text[i+2:])
		}
	}
	for _, b := range bad {
		_, err := ParseToken(b)
		if api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("a damaged token of %d characters is accepted: %v", len(b), err)
		}
		if err != nil && strings.Contains(err.Error(), text[10:20]) {
			t.Error("an error shows the token")
		}
	}
}

// TestTokenSecret: the secret of one token does not match another's hash, and package fmt shows none of a token.
func TestTokenSecret(t *testing.T) {
	a, b := newTestToken(t), newTestToken(t)
	if again := a.SecretHash(); a.SecretHash() != again || again == b.SecretHash() {
		t.Error("the hash of a token changes, or two tokens have one")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{a, &a, struct{ T Token }{a}, []Token{a}} {
			if text := fmt.Sprintf(verb, v); !strings.Contains(text, "***") {
				t.Errorf("%s shows %q", verb, text)
			}
		}
	}
}
