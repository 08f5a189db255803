// Package transfer moves records between a cluster and files of JSON Lines. Import puts every record of a file. Export writes
// every key and value to a file. A run can continue what an interrupted one has begun. Package record has the format of a line.
package transfer

import "time"

// Progress shows the progress of a transfer. Add and Warn are called by several goroutines at once.
type Progress interface {
	// Start begins a part of the work, of total bytes, or of an unknown number if total is -1.
	Start(part string, total int64)
	// Add counts more bytes of the part.
	Add(bytes int64)
	// Done ends the part.
	Done()
	// Warn reports an error that does not end the transfer, such as that of a record that was refused.
	Warn(err error)
}

// Result is what a transfer has done. Its JSON is part of the command line.
type Result struct {
	Lines            int64   `json:"lines,omitempty"` // read, by an import
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"` // of keys and values
	Failed           int64   `json:"failed"`
	SkippedLines     int64   `json:"skipped_lines"`            // done by an earlier run
	Verified         *int64  `json:"verified,omitempty"`       // records read back
	Different        *int64  `json:"different,omitempty"`      // keys whose value is not that of their last record
	OldestSeconds    float64 `json:"oldest_seconds,omitempty"` // how old the oldest page of a stale export may be
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"`
}

// took sets the time that the transfer took, and the rate.
func (r *Result) took(d time.Duration) {
	r.Seconds = d.Round(time.Millisecond).Seconds()
	if d > 0 {
		r.RecordsPerSecond = float64(int64(float64(r.Records)/d.Seconds()*10)) / 10
	}
}
