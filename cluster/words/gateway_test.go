package words

import (
	"errors"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestNewGatewayClient checks that no two ids are the same, and that no client may use one.
func TestNewGatewayClient(t *testing.T) {
	c := NewGatewayClient()
	if c == NewGatewayClient() {
		t.Error("an id was drawn twice")
	}
	if err := (api.RequestID{Client: c, Seq: 1}).Check(); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("a client may use %v: %v", c, err)
	}
}
