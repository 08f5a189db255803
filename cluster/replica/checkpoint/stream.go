package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The stream of a checkpoint. Integers are big-endian.
//
//	magic, whose last byte is the version
//	u32 length of the list, and the list: u64 reach, u32 number of files, and for each file u16 length of its name, name, u64 size
//	u32 CRC-32C of all before it
//	for each file its content, and u32 CRC-32C of the content
//	SHA-256 of all before it
const (
	streamMagic   = "edgehold-checkpoint\x00\x01"
	maxStreamList = 16 << 20
	sumBytes      = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// streamHead returns the part of the stream before the first file.
func streamHead(info *manifest) []byte {
	list := binary.BigEndian.AppendUint64(nil, info.Reach)
	list = binary.BigEndian.AppendUint32(list, uint32(len(info.Files)))
	for _, f := range info.Files {
		list = binary.BigEndian.AppendUint16(list, uint16(len(f.Name)))
		list = append(list, f.Name...)
		list = binary.BigEndian.AppendUint64(list, uint64(f.Size))
	}
	head := binary.BigEndian.AppendUint32([]byte(streamMagic), uint32(len(list)))
	head = append(head, list...)
	return binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
}

// streamSize returns the exact length of the stream in bytes: Raft sends and expects that many.
func streamSize(info *manifest) int64 {
	size := int64(len(streamHead(info)) + sha256.Size)
	for _, f := range info.Files {
		size += f.Size + sumBytes
	}
	return size
}

// reader reads a checkpoint as a stream, at the pace of the store.
type reader struct {
	store *Store
	info  *manifest

	part  io.Reader // rest of the current part; nil if it is at its end
	begun bool
	next  int // index of the next file
	file  *os.File
	crc   hash.Hash32
	total hash.Hash
	done  bool
	shut  bool
}

// folder returns the folder with the files.
func (r *reader) folder() string {
	return filepath.Join(r.store.path(r.info.Meta.ID), dataDir)
}

// readChunk bounds one read, so that the pace is even.
const readChunk = 64 << 10

func (r *reader) Read(p []byte) (int, error) {
	p = p[:min(len(p), readChunk)]
	for {
		if r.part == nil {
			if err := r.advance(); err != nil {
				return 0, err
			}
		}
		n, err := r.part.Read(p)
		if n > 0 {
			r.total.Write(p[:n])
			if r.file != nil {
				r.crc.Write(p[:n])
			}
			r.store.pace.wait(n)
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		r.part = nil
	}
}

// advance opens the next part: the head, then each file and its sum, then the sum of all.
func (r *reader) advance() error {
	switch {
	case r.done:
		return io.EOF
	case !r.begun:
		r.begun, r.total = true, sha256.New()
		r.part = bytes.NewReader(streamHead(r.info))
	case r.file != nil:
		err := r.file.Close()
		r.file = nil
		r.part = bytes.NewReader(binary.BigEndian.AppendUint32(nil, r.crc.Sum32()))
		return err
	case r.next < len(r.info.Files):
		f := r.info.Files[r.next]
		r.next++
		file, err := os.Open(filepath.Join(r.folder(), f.Name))
		if err != nil {
			return err
		}
		r.file, r.crc, r.part = file, crc32.New(castagnoli), io.LimitReader(file, f.Size)
	default:
		r.done = true
		r.part = bytes.NewReader(r.total.Sum(nil))
	}
	return nil
}

func (r *reader) Close() (err error) {
	if r.shut {
		return nil
	}
	r.shut = true
	if r.file != nil {
		err = r.file.Close()
	}
	r.store.closed(r.info.Meta.ID)
	return err
}

// pace limits a rate in bytes a second. All callers share it.
type pace struct {
	rate int64

	mu   sync.Mutex
	free time.Time // when the bytes that were admitted are paid for
}

// burst bounds the unused time that later calls may catch up on.
const burst = 50 * time.Millisecond

func newPace(rate int64) *pace { return &pace{rate: rate} }

// wait returns when n more bytes are within the rate.
func (p *pace) wait(n int) {
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now.Add(-burst)) {
		p.free = now.Add(-burst)
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	d := p.free.Sub(now)
	p.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}
