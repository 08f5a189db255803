package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

const (
	// tokenPrefix begins every token of a client, so that scanners for secrets find them.
	tokenPrefix = "ehk1_"
	idBytes     = len(placement.TokenID{})
	secretBytes = 24
	// TokenBytes is the length of a token.
	TokenBytes = 53
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Token is a client's credential: an id, which is no secret, and a secret. Its text is ehk1_ and base64url(id, secret, CRC32C).
type Token struct {
	ID     placement.TokenID
	secret [secretBytes]byte
}

// NewToken draws a token; random is the source of its bytes.
func NewToken(random io.Reader) (Token, error) {
	var t Token
	if _, err := io.ReadFull(random, t.ID[:]); err != nil {
		return Token{}, err
	}
	return t.WithNewSecret(random)
}

// WithNewSecret returns the token with another secret.
func (t Token) WithNewSecret(random io.Reader) (Token, error) {
	if _, err := io.ReadFull(random, t.secret[:]); err != nil {
		return Token{}, err
	}
	return t, nil
}

// Hash returns the SHA-256 of the secret: what the cluster knows of it.
func (t *Token) Hash() [sha256.Size]byte { return sha256.Sum256(t.secret[:]) }

// Secret returns the text of the token. It is shown once, to the one that it is made for.
func (t *Token) Secret() api.Secret {
	var b [idBytes + secretBytes + crc32.Size]byte
	copy(b[:], t.ID[:])
	copy(b[idBytes:], t.secret[:])
	binary.BigEndian.PutUint32(b[idBytes+secretBytes:], crc32.Checksum(b[:idBytes+secretBytes], castagnoli))
	return api.Secret(tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
}

// parse reads the text of a token into t; false if it is none, also if a character was mistyped. It writes to t in any case, and
// costs no allocation.
func (t *Token) parse(text string) bool {
	const encoded = TokenBytes - len(tokenPrefix)
	var digits [encoded]byte
	ok := len(text) == TokenBytes && text[:len(tokenPrefix)] == tokenPrefix
	if ok {
		copy(digits[:], text[len(tokenPrefix):])
	}
	var b [idBytes + secretBytes + crc32.Size]byte
	n, err := strictBase64.Decode(b[:], digits[:])
	copy(t.ID[:], b[:])
	copy(t.secret[:], b[idBytes:])
	sum := crc32.Checksum(b[:idBytes+secretBytes], castagnoli)
	return ok && err == nil && n == len(b) && binary.BigEndian.Uint32(b[idBytes+secretBytes:]) == sum
}

var strictBase64 = base64.RawURLEncoding.Strict()
