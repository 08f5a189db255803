package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
)

// receiver writes the stream of a checkpoint to files as it arrives. It refuses names that no checkpoint can hold, and uses
// memory only for the list of files. After an error it is of no further use.
type receiver struct {
	dir   string
	reach uint64
	files []fileInfo
	whole bool // the stream is complete and its sums are right

	part  []byte // collects the bytes of the next step
	need  int
	step  func(part []byte) error
	total hash.Hash

	at   int // index of the current file
	file *os.File
	left int64
	crc  hash.Hash32
}

func newReceiver(dir string) *receiver {
	r := &receiver{dir: dir, total: sha256.New()}
	r.expect(len(streamMagic)+4, r.magic)
	return r
}

func (r *receiver) expect(need int, step func([]byte) error) {
	r.part, r.need, r.step = r.part[:0], need, step
}

func (r *receiver) Write(p []byte) (int, error) {
	taken := 0
	for taken < len(p) {
		n, err := r.take(p[taken:])
		if taken += n; err != nil {
			return taken, fmt.Errorf("checkpoint: %w", err)
		}
	}
	return taken, nil
}

// take consumes a prefix of p and returns its length.
func (r *receiver) take(p []byte) (int, error) {
	if r.file != nil && r.left > 0 {
		p = p[:min(int64(len(p)), r.left)]
		n, err := r.file.Write(p)
		r.total.Write(p[:n])
		r.crc.Write(p[:n])
		r.left -= int64(n)
		return n, err
	}
	if r.step == nil {
		return 0, errors.New("bytes after the end of the stream")
	}
	n := min(len(p), r.need-len(r.part))
	r.part = append(r.part, p[:n]...)
	if len(r.part) < r.need {
		return n, nil
	}
	step := r.step
	r.step = nil
	return n, step(r.part)
}

func (r *receiver) magic(part []byte) error {
	if !bytes.HasPrefix(part, []byte(streamMagic)) {
		return errors.New("the snapshot is not a checkpoint, or has a version that this program does not know")
	}
	size := binary.BigEndian.Uint32(part[len(streamMagic):])
	if size > maxStreamList {
		return errors.New("the list of files is over the limit")
	}
	head := append([]byte(nil), part...)
	r.expect(int(size)+sumBytes, func(part []byte) error { return r.list(head, part) })
	return nil
}

// list reads the list of files, which stands between the head and a sum of both.
func (r *receiver) list(head, part []byte) error {
	list, sum := part[:len(part)-sumBytes], part[len(part)-sumBytes:]
	crc := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, list)
	if binary.BigEndian.Uint32(sum) != crc {
		return errors.New("the list of files is damaged")
	}
	r.total.Write(head)
	r.total.Write(part)
	if err := r.parse(list); err != nil {
		return err
	}
	return r.open()
}

var errList = errors.New("the list of files is invalid")

func (r *receiver) parse(b []byte) error {
	if len(b) < 12 {
		return errList
	}
	r.reach = binary.BigEndian.Uint64(b)
	count := binary.BigEndian.Uint32(b[8:])
	b = b[12:]
	seen := make(map[string]bool)
	for range count {
		if len(b) < 2 {
			return errList
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < n+8 {
			return errList
		}
		f := fileInfo{string(b[:n]), int64(binary.BigEndian.Uint64(b[n:]))}
		b = b[n+8:]
		if f.Size < 0 || seen[f.Name] || f.Name == "" || strings.HasPrefix(f.Name, "..") || strings.ContainsAny(f.Name, "/\\\x00") {
			return errList
		}
		seen[f.Name] = true
		r.files = append(r.files, f)
	}
	if len(b) > 0 {
		return errList
	}
	return nil
}

// open starts the next file, or expects the last sum after all files.
func (r *receiver) open() error {
	if r.at == len(r.files) {
		r.expect(sha256.Size, r.end)
		return nil
	}
	f := r.files[r.at]
	file, err := os.OpenFile(filepath.Join(r.dir, f.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	r.file, r.left, r.crc = file, f.Size, crc32.New(castagnoli)
	r.expect(sumBytes, r.close)
	return nil
}

// close checks the sum of a file and makes the file durable.
func (r *receiver) close(sum []byte) error {
	if binary.BigEndian.Uint32(sum) != r.crc.Sum32() {
		return fmt.Errorf("file %s is damaged", r.files[r.at].Name)
	}
	r.total.Write(sum)
	err := errors.Join(r.file.Sync(), r.file.Close())
	r.file = nil
	if r.at++; err != nil {
		return err
	}
	return r.open()
}

func (r *receiver) end(sum []byte) error {
	if !bytes.Equal(sum, r.total.Sum(nil)) {
		return errors.New("the checksum is wrong")
	}
	r.whole = true
	return nil
}

// abandon closes the current file.
func (r *receiver) abandon() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}
