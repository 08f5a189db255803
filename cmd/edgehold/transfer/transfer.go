// Package transfer moves records between a cluster and files of JSON Lines. Import puts every record of a file; Export writes
// every key and value to one. A run that was interrupted can be continued by the next one. Package record has the form of a
// line.
package transfer

import "time"

// Progress shows how a transfer goes on. Warn and Add may be called by several goroutines at once.
type Progress interface {
	// Start begins a part of the work, of so many bytes, or of an unknown number if total is -1.
	Start(part string, total int64)
	// Add counts more bytes of the part.
	Add(bytes int64)
	// Done ends the part.
	Done()
	// Warn reports what does not end the transfer, such as a record that was refused.
	Warn(err error)
}

// Result is what a transfer has done. The commands print it, as JSON too.
type Result struct {
	Lines            int64   `json:"lines,omitempty"` // read, by an import
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"` // of keys and values
	Failed           int64   `json:"failed"`
	SkippedLines     int64   `json:"skipped_lines"`            // done by an earlier run
	Verified         *int64  `json:"verified,omitempty"`       // records read back
	Different        *int64  `json:"different,omitempty"`      // keys with another value than the last record of theirs
	OldestSeconds    float64 `json:"oldest_seconds,omitempty"` // how old the oldest page of a stale export may be
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"`
}

// took sets how long the records took.
func (r *Result) took(d time.Duration) {
	r.Seconds = d.Round(time.Millisecond).Seconds()
	if d > 0 {
		r.RecordsPerSecond = float64(int64(float64(r.Records)/d.Seconds()*10)) / 10
	}
}
