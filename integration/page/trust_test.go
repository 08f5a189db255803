package page

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

// trust is the configuration of a client that trusts a root alone.
func trust(t *testing.T, root []byte) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		t.Fatal("the planet has no root")
	}
	return &tls.Config{RootCAs: pool}
}
