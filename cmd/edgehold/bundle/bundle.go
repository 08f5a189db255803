// Package bundle gathers what the nodes of a cluster say of themselves into one file, for an operator looking for a fault.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Path is where a node answers with its part.
const Path = "/v1/debug"

const (
	// atOnce is how many nodes are asked at once: so many answers are in memory, of 16 MiB at most each.
	atOnce = 4
	// maxFile, maxFiles and maxNode bound what is taken of one node: the bytes of a file, their number, and the bytes of all.
	maxFile  = 16 << 20
	maxFiles = 64
	maxNode  = 64 << 20
	// maxBundle bounds a bundle, before it is compressed. Nodes beyond it are left out.
	maxBundle = 1 << 30
)

// Node is one node to ask.
type Node struct {
	ID api.NodeID
	// Ask returns the gzipped tar with which the node answers; it is bounded, in time and in size.
	Ask func(ctx context.Context) ([]byte, error)
	// Missing is why the node cannot be asked, instead of Ask.
	Missing string
}

// Part is what became of a node.
type Part struct {
	Node  api.NodeID `json:"node"`
	Files int        `json:"files"`
	Bytes int64      `json:"bytes"`
	// Missing is why there is nothing of the node, or not all; "" if all is there.
	Missing string `json:"missing,omitempty"`
}

// Config says what to gather.
type Config struct {
	Nodes []Node
	// About is written to bundle.json, with what became of the nodes. A secret in it has the type [api.Secret].
	About any
	// Told, if not nil, is called with each node when it is done. Calls do not overlap.
	Told func(Part)
}

// Write asks the nodes, a few at once, and writes all that they answer to w: a gzipped tar with a folder for each node. A node that does
// not answer is named in bundle.json, with the reason, and in the result. The error is that of w, or that of ctx.
func Write(ctx context.Context, w io.Writer, cfg Config) ([]Part, error) {
	zip := gzip.NewWriter(w)
	b := &bundle{out: tar.NewWriter(zip), cfg: cfg, parts: make([]Part, len(cfg.Nodes))}
	b.gather(ctx)
	if err := errors.Join(b.err, ctx.Err()); err != nil {
		return b.parts, err
	}
	if err := b.manifest(); err != nil {
		return b.parts, err
	}
	if err := b.out.Close(); err != nil {
		return b.parts, err
	}
	return b.parts, zip.Close()
}

// bundle is one that is being written.
type bundle struct {
	cfg Config

	mu    sync.Mutex
	out   *tar.Writer // guarded by mu
	parts []Part      // guarded by mu
	size  int64       // guarded by mu: of all files
	err   error       // guarded by mu: of out, after which nothing more is written
}

func (b *bundle) gather(ctx context.Context) {
	room := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, n := range b.cfg.Nodes {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			b.add(i, n, b.ask(ctx, n))
		})
	}
	all.Wait()
}

// answer is what a node has answered, or why not.
type answer struct {
	body    []byte
	missing string
}

func (b *bundle) ask(ctx context.Context, n Node) answer {
	if n.Missing != "" {
		return answer{missing: n.Missing}
	}
	if err := ctx.Err(); err != nil {
		return answer{missing: err.Error()}
	}
	body, err := n.Ask(ctx)
	if err != nil {
		return answer{missing: err.Error()}
	}
	return answer{body: body}
}

// add writes what a node has answered.
func (b *bundle) add(i int, n Node, a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &b.parts[i]
	p.Node, p.Missing = n.ID, a.missing
	if p.Missing == "" && b.err == nil {
		if err := b.copy(p, a.body); err != nil {
			p.Missing = err.Error()
		}
	}
	if b.cfg.Told != nil {
		b.cfg.Told(*p)
	}
}

// fileName matches the names of files that a node may send.
var fileName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// folderOf is the folder of a node: its name, which cannot lead out of where the bundle is unpacked.
func folderOf(id api.NodeID) string {
	name := strings.ReplaceAll(string(id), "/", "_")
	if strings.Trim(name, ".") == "" {
		return "node" + name
	}
	return name
}

// copy copies the files of a node's answer, which is not trusted: their names, number and sizes are bounded. The caller holds mu.
func (b *bundle) copy(p *Part, body []byte) error {
	zip, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the node's answer is not understood: %w", err)
	}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("the node's answer is cut off: %w", err)
		case h.Typeflag != tar.TypeReg || !fileName.MatchString(h.Name):
			return fmt.Errorf("the node's answer has a file %.40q", h.Name)
		case h.Size > maxFile || p.Bytes+h.Size > maxNode || p.Files >= maxFiles:
			return fmt.Errorf("the node's answer is over the limit of %d files of %d bytes, %d bytes together", maxFiles, maxFile, maxNode)
		case b.size+h.Size > maxBundle:
			return fmt.Errorf("it is left out: the bundle is at its limit of %d bytes", maxBundle)
		}
		text := make([]byte, h.Size)
		if _, err := io.ReadFull(in, text); err != nil {
			return fmt.Errorf("the node's answer is cut off: %w", err)
		}
		if b.err = b.file(folderOf(p.Node)+"/"+h.Name, text); b.err != nil {
			return b.err
		}
		p.Files, p.Bytes, b.size = p.Files+1, p.Bytes+h.Size, b.size+h.Size
	}
}

// file writes a file. The caller holds mu.
func (b *bundle) file(name string, text []byte) error {
	h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(text)), ModTime: time.Now()}
	if err := b.out.WriteHeader(&h); err != nil {
		return err
	}
	_, err := b.out.Write(text)
	return err
}

// manifest writes bundle.json.
func (b *bundle) manifest() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, err := json.MarshalIndent(struct {
		Made  time.Time `json:"made"`
		About any       `json:"about,omitempty"`
		Nodes []Part    `json:"nodes"`
	}{time.Now().UTC(), b.cfg.About, b.parts}, "", "  ")
	if err != nil {
		return err
	}
	return b.file("bundle.json", append(text, '\n'))
}
