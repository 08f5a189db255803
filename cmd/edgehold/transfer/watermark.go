package transfer

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// progressState is the content of the state file. The first Lines lines of an input, whose hash is Hash, are done in the cluster.
// Size and Modified are those of the input at the last run; they only help to explain what has changed. An input may change after
// the lines that are done, for example if refused records were corrected.
type progressState struct {
	Cluster  string    `json:"cluster"`
	Size     int64     `json:"size"` // -1 if unknown
	Modified time.Time `json:"modified"`
	Lines    int64     `json:"lines"`
	Hash     lineHash  `json:"hash"`
}

// lineHash is the hash of an input from its beginning to the end of a line.
type lineHash [16]byte

var _ encoding.TextMarshaler = lineHash{}

func (h lineHash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

func (h *lineHash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return errors.New("the hash has the wrong length")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// next returns the hash to the end of one more line.
func (h lineHash) next(line []byte) lineHash {
	d := sha256.New()
	_, _ = d.Write(h[:]) // never fails
	_, _ = d.Write(line)
	var sum [sha256.Size]byte
	return lineHash(d.Sum(sum[:0])[:len(h)])
}

// loadProgress reads a state file. If it does not exist, the import has not begun.
func loadProgress(name string) (progressState, error) {
	var p progressState
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	switch err := json.Unmarshal(text, &p); {
	case err != nil || p.Lines < 0:
		return p, fmt.Errorf("%s is not the progress of an import; remove it to start over", name)
	case p.Cluster == "":
		return p, fmt.Errorf("%s does not name its cluster, since an older version wrote it; remove it to start over", name)
	}
	return p, nil
}

// save writes the state atomically: a crash leaves either the old or the new one.
func (p progressState) save(name string) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// watermark counts the lines from the first on that are acknowledged, while lines finish in any order. It remembers each line that
// finished before an earlier one. It is safe for concurrent use.
type watermark struct {
	mu     sync.Mutex
	state  progressState
	early  map[int64]lineHash // finished lines above the mark, with the hash to their ends
	failed int64              // the first line that failed, or 0; the mark stays below it
}

func newWatermark(from progressState) *watermark {
	return &watermark{state: from, early: map[int64]lineHash{}}
}

// read records the size and time of the input once its first lines are known to be unchanged.
func (w *watermark) read(in input) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Size, w.state.Modified = in.size, in.modified
}

// done records that a line, counted from 1, is acknowledged. hash is the hash to its end.
func (w *watermark) done(line int64, hash lineHash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != 0 && line > w.failed {
		return
	}
	w.early[line] = hash
	for next := w.state.Lines + 1; ; next++ {
		h, ok := w.early[next]
		if !ok {
			return
		}
		delete(w.early, next)
		w.state.Lines, w.state.Hash = next, h
	}
}

// fail records that a line will not be acknowledged in this run.
func (w *watermark) fail(line int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == 0 || line < w.failed {
		w.failed = line
	}
	for l := range w.early {
		if l > w.failed {
			delete(w.early, l)
		}
	}
}

// now returns the state to save.
func (w *watermark) now() progressState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}
