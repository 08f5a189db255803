package cluster

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
)

// clientCertificateEvery is how often the files of the certificate for clients are read again.
const clientCertificateEvery = 10 * time.Second

// clientCertificate is a certificate for clients from files, such as an ACME client renews. Safe for concurrent use.
type clientCertificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]

	mu   sync.Mutex
	read [sha256.Size]byte // of what was read last
	wide bool              // others may read the key, on a file system that is mounted read-only
}

// openClientCertificate reads the pair; nil if there is none. CodeInvalid if it cannot be used.
func openClientCertificate(certFile, keyFile string) (*clientCertificate, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, api.Errorf(api.CodeInvalid, "a certificate for clients needs both files (--tls-cert, --tls-key)")
	}
	c := &clientCertificate{certFile: certFile, keyFile: keyFile}
	_, err := c.reload()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// now is the certificate to show.
func (c *clientCertificate) now() *tls.Certificate { return c.current.Load() }

// reload reads the files again. It reports whether there is another certificate now. On an error the one before stays.
func (c *clientCertificate) reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, c.unusable(err)
	}
	key, wide, err := join.ReadSecret(c.keyFile)
	if err != nil {
		return false, c.unusable(err)
	}
	sum := sha256.Sum256(bytes.Join([][]byte{cert, key}, []byte{0}))
	if sum == c.read {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, c.unusable(err)
	}
	c.current.Store(&pair)
	c.read, c.wide = sum, wide
	return true, nil
}

func (c *clientCertificate) unusable(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	return &api.Error{Code: api.CodeInvalid, Op: "--tls-cert", Hint: fmt.Sprintf("the certificate %s with the key %s cannot be used", c.certFile, c.keyFile), Err: err}
}
