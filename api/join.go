package api

import (
	"context"
	"time"
)

// JoinTokens is what operators ask about join tokens, by which new nodes come into a cluster. Servers answer it. Errors: CodeConflict
// if the cluster is plain, so that a token would prove nothing.
type JoinTokens interface {
	// CreateJoinToken makes a join token. The answer is the only place where its secret is ever shown. CodeInvalid for a spec that
	// makes no sense, CodeNotFound for a policy or a node that does not exist, CodeTooLarge at the limit of tokens.
	CreateJoinToken(ctx context.Context, spec JoinTokenSpec) (*NewJoinToken, error)
	// JoinTokens lists the join tokens, without their secrets, in order of id.
	JoinTokens(ctx context.Context) ([]JoinToken, error)
	// RevokeJoinToken makes a join token invalid. Nodes that have joined by it stay. CodeNotFound if there is no such token.
	RevokeJoinToken(ctx context.Context, id string) error
}

// UnlimitedUses is the number of uses of a join token that is never spent.
const UnlimitedUses = -1

// JoinTokenSpec says which nodes may join by a token.
type JoinTokenSpec struct {
	// Role of the nodes. It is required, unless For names a node.
	Role Role
	// Region in which they may join; "" is any.
	Region RegionID
	// TTL is how long the token lives; 0 is for ever.
	TTL time.Duration
	// Uses is how many nodes may join; 0 is one, UnlimitedUses any number.
	Uses int64
	// Policies name the policies whose prefixes the edges serve; none is every key.
	Policies []string
	// Names are the patterns of host names under which the edges may serve clients, such as *.example.com.
	Names []string
	// Ephemeral edges are removed from the cluster when they have stopped.
	Ephemeral bool
	// For is a known node that has lost its key: by the token it gets a new one, and no other node may join.
	For NodeID
}

// JoinToken describes a join token.
type JoinToken struct {
	ID     string   `json:"id"`
	Role   Role     `json:"role"`
	Region RegionID `json:"region,omitempty"`
	// Uses is how many nodes may still join; UnlimitedUses is any number.
	Uses int64 `json:"uses"`
	// Expires is zero if the token does not expire.
	Expires   time.Time `json:"expires,omitzero"`
	Prefixes  []string  `json:"prefixes,omitempty"` // that the edges serve; none is every key
	Names     []string  `json:"names,omitempty"`
	Ephemeral bool      `json:"ephemeral,omitempty"`
	For       NodeID    `json:"for,omitempty"`
	By        string    `json:"by,omitempty"` // the principal that made it
	Created   time.Time `json:"created,omitzero"`
}

// NewJoinToken is a join token with its text, which is a secret.
type NewJoinToken struct {
	JoinToken
	Token string `json:"token"`
}

// Joiner admits nodes that show a join token.
type Joiner interface {
	// Join admits a node and returns what it needs to be one. The same node may ask again with the same key. CodeInvalid for a
	// request that makes no sense, CodeUnauthenticated for a token that is not valid, for whatever reason, CodeDenied for a role,
	// region or name that the token does not allow, CodeConflict for an id or a name of another node, CodeUnavailable if the
	// cluster cannot answer now.
	Join(ctx context.Context, q *JoinRequest) (*JoinAnswer, error)
}

// JoinRequest is what a node says that wants to join: the body of POST /v1/join.
type JoinRequest struct {
	// Token is the text of a join token, a secret.
	Token string `json:"token"`
	// CSR is a request for a certificate (PKCS #10, DER), which holds the node's key and the proof of having it.
	CSR    []byte   `json:"csr"`
	Node   NodeID   `json:"node"`
	Region RegionID `json:"region"`
	Role   Role     `json:"role"`
	// Advertise is the HOST:PORT at which other nodes reach this one.
	Advertise string `json:"advertise"`
	// Names are further names and addresses at which HTTPS clients reach it.
	Names []string `json:"names,omitempty"`
	// Nonce is that of the node's process.
	Nonce []byte `json:"nonce,omitempty"`
	// Level is the newest that the node's program knows.
	Level int `json:"level"`
	// Fresh: the node's data folder belongs to no node yet.
	Fresh bool `json:"fresh,omitempty"`
	// Host names the machine of the node, and Ephemeral is its own wish to be removed when it has stopped.
	Host      string `json:"host,omitempty"`
	Ephemeral bool   `json:"ephemeral,omitempty"`
}

// JoinAnswer makes a node one of the cluster.
type JoinAnswer struct {
	ClusterID string `json:"cluster_id"`
	// Certificate is the node's (DER); Vouchers are the word of the server that signed it, for servers whose map is older.
	Certificate []byte   `json:"certificate"`
	Vouchers    [][]byte `json:"vouchers,omitempty"`
	// Roots are the certificates (DER) of the CAs that the cluster trusts.
	Roots [][]byte `json:"roots"`
	// Map is the placement map, as nodes send it to each other.
	Map []byte `json:"map"`
	// Num is the number that the node has in the cluster.
	Num uint32 `json:"num"`
}
