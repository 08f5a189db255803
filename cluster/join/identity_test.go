package join

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestFolder: an identity is what was saved, and a key that is asked for again is the same.
func TestFolder(t *testing.T) {
	d := Folder(filepath.Join(t.TempDir(), "identity"))
	if _, err := d.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	ca := must(NewCA(testCluster))
	key := must(d.NextKey())
	if again := must(d.NextKey()); !again.Equal(key) {
		t.Error("another key")
	}
	leaf := must(ca.Sign(Template{Subject: server("us-east-1"), Key: &key.PublicKey, Now: epoch}))
	id := must(NewIdentity(key, leaf, nil, [][]byte{ca.Certificate.Raw}))
	if err := d.Save(id, []*x509.Certificate{ca.Certificate}); err != nil {
		t.Fatal(err)
	}
	expectSame(t, d, id)
	for name, mode := range map[string]fs.FileMode{"": 0o700, keyFile: 0o600, certFile: 0o644, rootFile: 0o644} {
		if info := must(os.Stat(filepath.Join(string(d), name))); info.Mode().Perm() != mode {
			t.Errorf("%s has the mode %#o", name, info.Mode().Perm())
		}
	}
	renewed := ca.renewed(t, id)
	if err := d.Save(renewed, []*x509.Certificate{ca.Certificate}); err != nil {
		t.Fatal(err)
	}
	expectSame(t, d, renewed)
}

func expectSame(t *testing.T, d Folder, want *Identity) {
	t.Helper()
	got, err := d.Load()
	if err != nil || got.Subject != want.Subject || !got.Key.Equal(want.Key) || !got.Leaf.Equal(want.Leaf) || len(got.Vouchers) != len(want.Vouchers) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestFolderAfterACrash: at each point of a Save the folder holds the old identity or the new one.
func TestFolderAfterACrash(t *testing.T) {
	ca := must(NewCA(testCluster))
	old := ca.issue(t, server("us-east-1"))
	fresh := ca.renewed(t, old)
	d := Folder(t.TempDir())
	if err := d.Save(old, []*x509.Certificate{ca.Certificate}); err != nil {
		t.Fatal(err)
	}
	if err := d.writeKey(nextFile, fresh.Key); err != nil {
		t.Fatal(err)
	}
	expectSame(t, d, old)
	if err := replaceFile(d.path(certFile), EncodeCertificates(append([]*x509.Certificate{fresh.Leaf}, fresh.Vouchers...)...), 0o644); err != nil {
		t.Fatal(err)
	}
	expectSame(t, d, fresh)
	if _, err := os.Stat(d.path(nextFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the new key is still the next one:", err)
	}
	expectSame(t, d, fresh)
}

// TestWideSecrets: a key that others may read is refused, with the file's name and the remedy.
func TestWideSecrets(t *testing.T) {
	ca := must(NewCA(testCluster))
	d := Folder(t.TempDir())
	if err := d.Save(ca.issue(t, server("us-east-1")), []*x509.Certificate{ca.Certificate}); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o666} {
		if err := os.Chmod(d.path(keyFile), mode); err != nil {
			t.Fatal(err)
		}
		_, err := d.Load()
		if api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "chmod 600 "+d.path(keyFile)) {
			t.Errorf("%#o: got %v", mode, err)
		}
	}
}

// TestDamagedFolder: each file that cannot be used is named.
func TestDamagedFolder(t *testing.T) {
	ca := must(NewCA(testCluster))
	other := ca.issue(t, server("us-east-2"))
	for name, text := range map[string][]byte{
		certFile: []byte("nothing"), rootFile: EncodeCertificates(must(NewCA(testCluster)).Certificate),
		keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(other.Key))}),
	} {
		d := Folder(t.TempDir())
		if err := d.Save(ca.issue(t, server("us-east-1")), []*x509.Certificate{ca.Certificate}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.path(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), string(d)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestOwnCA: a certificate with CA:TRUE and its key are taken, and nothing else.
func TestOwnCA(t *testing.T) {
	ca, other := must(NewCA("a")), must(NewCA("b"))
	key := func(ca *CA) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(ca.Key())})
	}
	got, err := ParseCA(EncodeCertificates(ca.Certificate), key(ca))
	if err != nil || Fingerprint(got.Certificate) != PinOf(ca.key.Public()) {
		t.Fatalf("got %v, %v", got, err)
	}
	if again, err := OpenCA(ca.Certificate.Raw, must(got.Key())); err != nil || !again.Certificate.Equal(ca.Certificate) {
		t.Errorf("got %v, %v", again, err)
	}
	leaf := ca.issue(t, server("n"))
	for what, x := range map[string][2][]byte{
		"another's key":      {EncodeCertificates(ca.Certificate), key(other)},
		"a node's":           {EncodeCertificates(leaf.Leaf), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(leaf.Key))})},
		"no certificate":     {nil, key(ca)},
		"no key":             {EncodeCertificates(ca.Certificate), nil},
		"a key that is none": {EncodeCertificates(ca.Certificate), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})},
	} {
		if _, err := ParseCA(x[0], x[1]); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
