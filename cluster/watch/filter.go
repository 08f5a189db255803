package watch

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
)

// filter leaves out of a stream what its watcher has already. A nil filter leaves nothing out.
type filter struct {
	passed *cursor.Cursor // all up to here has been told; nil: nothing has
	pages  *pages         // what a list has told; nil: nothing is listed
}

func (f *filter) event(k api.Key, o cursor.Origin) bool {
	return f != nil && (f.passed != nil && f.passed.Told(k, o) || f.pages != nil && f.pages.told(k, o))
}

func (f *filter) gap(g *gap) bool {
	return f != nil && f.passed != nil && f.passed.ToldGap(g.piece, g.end)
}

// moved drops what the stream is beyond, as it is at the position of a watch of r. It returns nil if nothing is left.
func (f *filter) moved(at *cursor.Cursor, r api.Range) *filter {
	if f == nil {
		return nil
	}
	if f.passed != nil && f.passed.Before(at.Part(r)) {
		f.passed = nil
	}
	if f.passed == nil && f.pages == nil {
		return nil
	}
	return f
}
