package cluster

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/meta"
)

// Belongs reports which node a data folder belongs to, "" if to none yet, and whether it has something by which that node proves itself. It
// changes nothing.
func Belongs(dir string) (node api.NodeID, proves bool) {
	if dir == "" {
		return "", false
	}
	if b, err := os.ReadFile(filepath.Join(dir, nodeFile)); err == nil {
		first, _, _ := strings.Cut(string(b), "\n")
		node = api.NodeID(first)
	}
	_, err := join.Folder(filepath.Join(dir, identityDir)).Load()
	return node, err == nil
}

// ReadSecret reads a file that only its owner may read; if others may too, the error names the remedy. On a read-only file system the file
// is read all the same, and wide is true.
func ReadSecret(path string) (b []byte, wide bool, err error) { return join.ReadSecret(path) }

// nameFile has the name that a node has drawn, until the folder belongs to it.
const nameFile = "name"

// letters are those of drawn names. None looks like another.
const letters = "abcdefghjkmnpqrstuvwxyz23456789"

// DrawName returns base with four letters, such as us-east-1-x7f3, which are drawn once and kept in the data folder: a node whose folder is
// lost comes back under a new id, since it may not vote under the name of what it was. Without a folder they are drawn at each start.
func DrawName(dir, base string) (api.NodeID, error) { return drawName(dir, base, 4) }

// drawName is DrawName with any number of letters.
func drawName(dir, base string, length int) (api.NodeID, error) {
	if node, _ := Belongs(dir); node == api.NodeID(base) || strings.HasPrefix(string(node), base+"-") {
		return node, nil
	}
	file := meta.OSFile(filepath.Join(dir, nameFile))
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "the data folder cannot be made; see --data", Err: err}
		}
		b, err := file.Read()
		if drawn := strings.TrimSpace(string(b)); err == nil && strings.HasPrefix(drawn, base+"-") {
			return api.NodeID(drawn), nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	random := make([]byte, length)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	for i := range random {
		random[i] = letters[int(random[i])%len(letters)]
	}
	drawn := base + "-" + string(random)
	if dir == "" {
		return api.NodeID(drawn), nil
	}
	return api.NodeID(drawn), file.Write([]byte(drawn + "\n"))
}
