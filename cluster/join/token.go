package join

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// TokenPrefix is what the text of every join token begins with, so that scanners for secrets find it.
const TokenPrefix = "ehj1_"

// The sizes of the parts of a token, in bytes.
const (
	fingerprintBytes = sha256.Size
	tokenIDBytes     = 8
	secretBytes      = 16
	tokenBytes       = fingerprintBytes + tokenIDBytes + secretBytes + crc32.Size
)

// TokenChars is the length of the text of a token.
const TokenChars = len(TokenPrefix) + tokenBytes/3*4

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	base64url  = base64.RawURLEncoding.Strict()
)

// TokenID names a join token without giving its secret away.
type TokenID [tokenIDBytes]byte

func (id TokenID) String() string { return hex.EncodeToString(id[:]) }

// ParseTokenID reads the 16 hexadecimal digits of [TokenID.String]. CodeInvalid for anything else.
func ParseTokenID(text string) (TokenID, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != tokenIDBytes {
		return TokenID{}, api.Errorf(api.CodeInvalid, "%.64q is not the id of a join token: it has %d hexadecimal digits", text, 2*tokenIDBytes)
	}
	return TokenID(b), nil
}

// Token is a join token. A holder of its text may add a node to the cluster. Package fmt prints a Token as "***";
// [Token.Reveal] returns the text.
type Token struct {
	// Fingerprint is the SHA-256 of the public key of the cluster's root: what the joining node demands of the node that it asks.
	Fingerprint Pin
	ID          TokenID
	secret      [secretBytes]byte
}

// NewToken returns a token of the cluster whose root has the fingerprint, with a new id and a new secret.
func NewToken(fingerprint Pin) (Token, error) {
	t := Token{Fingerprint: fingerprint}
	if _, err := rand.Read(t.ID[:]); err != nil {
		return Token{}, err
	}
	if _, err := rand.Read(t.secret[:]); err != nil {
		return Token{}, err
	}
	return t, nil
}

// Format prints "***" for every verb, so that no log and no error shows the secret.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "***") }

// Reveal returns the token's text: the prefix, and in base64 the fingerprint, the id, the secret and a checksum.
func (t Token) Reveal() string {
	b := make([]byte, 0, tokenBytes)
	b = append(b, t.Fingerprint[:]...)
	b = append(b, t.ID[:]...)
	b = append(b, t.secret[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return TokenPrefix + base64url.EncodeToString(b)
}

// ParseToken reads what [Token.Reveal] returns; white space around it is ignored. CodeInvalid for anything else: a token with a
// typing error, or one that was cut off, is found out before anything is asked. The error does not show the text.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, TokenPrefix)
	switch {
	case text == "":
		return Token{}, api.Errorf(api.CodeInvalid, "the join token is empty")
	case !ok:
		return Token{}, api.Errorf(api.CodeInvalid, "this is no join token: it does not begin with %s", TokenPrefix)
	case len(text) != TokenChars:
		return Token{}, api.Errorf(api.CodeInvalid, "the join token has %d characters instead of %d: copy all of it", len(text), TokenChars)
	}
	b, err := base64url.DecodeString(body)
	if err != nil || len(b) != tokenBytes {
		return Token{}, api.Errorf(api.CodeInvalid, "the join token has a character that belongs into none: copy it again")
	}
	sum := tokenBytes - crc32.Size
	if crc32.Checksum(b[:sum], castagnoli) != binary.BigEndian.Uint32(b[sum:]) {
		return Token{}, api.Errorf(api.CodeInvalid, "the join token has a typing error: copy it again")
	}
	var t Token
	b = b[copy(t.Fingerprint[:], b):]
	b = b[copy(t.ID[:], b):]
	copy(t.secret[:], b)
	return t, nil
}

// SecretHash returns the SHA-256 of the secret, which is what the cluster keeps of a token.
func (t Token) SecretHash() [sha256.Size]byte { return sha256.Sum256(t.secret[:]) }
