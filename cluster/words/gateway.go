package words

import (
	"crypto/rand"

	"github.com/edgehold/edgehold/api"
)

// gatewayPrefix begins the client ids of gateways. [api.RequestID.Check] refuses such ids to clients.
const gatewayPrefix = "gateway:"

// NewGatewayClient returns a client id for the transactions of a gateway that have no id of their own. No other process
// has the same id, and no client can use it.
func NewGatewayClient() api.ClientID {
	var c api.ClientID
	_, _ = rand.Read(c[copy(c[:], gatewayPrefix):]) // Read never fails
	return c
}
