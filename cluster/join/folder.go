package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgehold/edgehold/api"
)

// Folder keeps a node's identity on disk: key.pem (0600), cert.pem and roots.pem (0644). It belongs to one goroutine at a time.
type Folder string

// The files of a folder. The key of an identity that is not complete yet is in nextFile.
const (
	keyFile  = "key.pem"
	nextFile = "next.pem"
	certFile = "cert.pem"
	rootFile = "roots.pem"
)

// Roots is the path of the file with the cluster's roots, which clients are given.
func (d Folder) Roots() string { return d.path(rootFile) }

func (d Folder) path(name string) string { return filepath.Join(string(d), name) }

// Load reads the identity. fs.ErrNotExist if the folder has none; CodeInvalid if a file cannot be used, with the file's name.
func (d Folder) Load() (*Identity, error) {
	text, err := os.ReadFile(d.path(certFile))
	if err != nil {
		return nil, err
	}
	chain, err := DecodeCertificates(text)
	if err != nil {
		return nil, d.unusable(certFile, err)
	}
	text, err = os.ReadFile(d.path(rootFile))
	if err != nil {
		return nil, err
	}
	roots, err := DecodeCertificates(text)
	if err != nil {
		return nil, d.unusable(rootFile, err)
	}
	key, err := d.keyOf(chain[0])
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(key, chain, roots)
	if err != nil {
		return nil, d.unusable(certFile, err)
	}
	return id, nil
}

// keyOf returns the key of the certificate. It completes a Save that was interrupted after the certificate was written.
func (d Folder) keyOf(c *x509.Certificate) (*ecdsa.PrivateKey, error) {
	key, err := d.readKey(keyFile)
	if err == nil && key.PublicKey.Equal(c.PublicKey) {
		return key, nil
	}
	next, nextErr := d.readKey(nextFile)
	if nextErr == nil && next.PublicKey.Equal(c.PublicKey) {
		return next, d.promote()
	}
	if err != nil {
		return nil, err
	}
	return nil, d.unusable(keyFile, errors.New("it is not the key of "+certFile))
}

// NextKey returns the key for the next certificate of the node. It makes one if there is none, and keeps it until Save: so a
// request that is repeated, also after a crash, has the same key.
func (d Folder) NextKey() (*ecdsa.PrivateKey, error) {
	key, err := d.readKey(nextFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, err
	}
	if key, err = NewKey(); err != nil {
		return nil, err
	}
	return key, d.writeKey(nextFile, key)
}

// Save makes the identity that of the folder, durably: after a crash Load returns the old or the new one. roots are all that the
// cluster trusts.
func (d Folder) Save(x *Identity, roots []*x509.Certificate) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	if err := d.writeKey(nextFile, x.Key); err != nil {
		return err
	}
	if err := d.SaveRoots(roots); err != nil {
		return err
	}
	certs := append([]*x509.Certificate{x.Leaf}, x.Vouchers...)
	if err := replaceFile(d.path(certFile), EncodeCertificates(certs...), 0o644); err != nil {
		return err
	}
	return d.promote()
}

// SaveRoots replaces the roots that the node trusts.
func (d Folder) SaveRoots(roots []*x509.Certificate) error {
	return replaceFile(d.path(rootFile), EncodeCertificates(roots...), 0o644)
}

// promote makes the next key the node's.
func (d Folder) promote() error {
	if err := os.Rename(d.path(nextFile), d.path(keyFile)); err != nil {
		return err
	}
	return syncFolder(string(d))
}

func (d Folder) readKey(name string) (*ecdsa.PrivateKey, error) {
	text, _, err := ReadSecret(d.path(name))
	if err != nil {
		return nil, err
	}
	parsed, err := parseKey(text)
	if err != nil {
		return nil, d.unusable(name, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, d.unusable(name, errors.New("a node's key is P-256"))
	}
	return key, nil
}

func (d Folder) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return replaceFile(d.path(name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func (d Folder) unusable(name string, err error) error {
	return &api.Error{Code: api.CodeInvalid, Op: "identity", Hint: fmt.Sprintf("%s cannot be used", d.path(name)), Err: err}
}

// ReadSecret reads a file that only its owner may read. If others may too, that is CodeInvalid, whose hint names the file and the
// remedy; on a file system that is mounted read-only, where there is no remedy, the file is read, and wide is true.
func ReadSecret(path string) (b []byte, wide bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if wide = info.Mode().Perm()&0o077 != 0 && info.Mode().IsRegular(); wide && !readOnly(path) {
		return nil, true, api.Errorf(api.CodeInvalid, "others may read the secret in %s (mode %#o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	const most = 1 << 20
	b, err = io.ReadAll(io.LimitReader(f, most))
	return b, wide, err
}

// replaceFile writes beside the file, syncs, renames, and syncs the folder: after a crash the file is the old or the new one.
func replaceFile(path string, b []byte, mode fs.FileMode) error {
	t, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*") // 0600
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	err = errors.Join(err, t.Chmod(mode), t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
