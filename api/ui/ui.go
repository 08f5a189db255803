// Package ui is the page at /ui/: what a browser shows of a cluster. It is a handful of static files in this program. They hold nothing
// of a cluster: the page asks the HTTP API for that, with the token that is typed in.
package ui

import (
	"embed"
	"io/fs"
	"path"
)

// Policy is the Content-Security-Policy of every file: a page may load scripts, styles and images of its own node alone, ask no other
// origin, and stand in no frame.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

//go:embed page
var page embed.FS

// File is a file of the page.
type File struct {
	Type string // its media type
	Body []byte // must not be changed
}

var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

var files = read()

// read reads the files once.
func read() map[string]File {
	all := map[string]File{}
	entries, err := fs.ReadDir(page, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, e := range entries {
		body, err := page.ReadFile(path.Join("page", e.Name()))
		if err != nil {
			panic(err) // likewise
		}
		all[e.Name()] = File{Type: types[path.Ext(e.Name())], Body: body}
	}
	all[""] = all["index.html"]
	return all
}

// Find returns the file of a name; "" is the page itself. false: there is none.
func Find(name string) (File, bool) {
	f, ok := files[name]
	return f, ok
}
