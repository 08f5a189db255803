package integration

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/edgehold/edgehold/"

// room is one package's line in the table of the house: what it may import, of ours and of others.
type room struct {
	ours   []string // packages below the module; "cluster/*" is every package below cluster
	others []string // prefixes of third-party import paths
	tests  []string // further packages of ours that its tests may import
}

const (
	hclog = "github.com/hashicorp/go-hclog"
	hraft = "github.com/hashicorp/raft"
	cbor  = "github.com/fxamacker/cbor"
	yaml  = "go.yaml.in/yaml"
)

// house is the table of arrows. A package that is not in it fails the test until it has a line; a changed line needs a
// decision record. docs/decisions/0001 says why each arrow points as it does.
var house = map[string]room{
	"api": {},
	"api/storetest": {
		ours: []string{"api"},
	},
	"api/codec": {
		ours: []string{"api"},
	},
	"api/lock": {
		ours:  []string{"api", "api/admission"},
		tests: []string{"api/storetest"},
	},
	"api/observe": {},
	"api/observe/slow": {
		ours: []string{"api"},
	},
	"api/observe/trace": {
		others: []string{"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/trace"},
		tests:  []string{"api/observe/trace/tracetest"},
	},
	"api/observe/trace/tracetest": {
		others: []string{"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/trace"},
	},
	"api/admission": {
		ours: []string{"api", "api/observe"},
	},
	"fsm/ident": {
		ours: []string{"api"},
	},
	"cluster/words": {
		ours: []string{"api", "fsm/ident"},
	},
	"api/fault": {
		ours: []string{"api", "api/observe"},
	},
	"cluster/cursor": {
		ours: []string{"api", "api/codec", "cluster/words", "fsm/ident"},
	},
	"api/wire": {
		ours:  []string{"api", "api/admission", "api/codec", "api/fault"},
		tests: []string{"api/observe"},
	},
	"api/client": {
		ours:  []string{"api", "api/admission", "api/lock", "api/wire"},
		tests: []string{"api/front", "api/httpd"},
	},
	"api/client/oteltrace": {
		ours:   []string{"api", "api/client", "api/observe/trace"},
		others: []string{"go.opentelemetry.io/otel/trace"},
		tests:  []string{"api/observe/trace/tracetest"},
	},
	"api/front": {
		ours: []string{"api", "api/admission", "api/fault", "api/lock", "api/observe", "api/observe/slow", "api/observe/trace"},
	},
	"api/door": {
		ours:  []string{"api", "api/admission", "api/front", "api/observe/trace"},
		tests: []string{"api/fault", "api/observe", "api/observe/trace/tracetest", "api/storetest"},
	},
	"api/httpd": {
		ours:  []string{"api", "api/admission", "api/door", "api/fault", "api/front", "api/httpd/openapi", "api/lock", "api/observe/trace", "api/ui", "api/wire"},
		tests: []string{"api/httpd/contract", "cluster/access/accesstest", "api/observe", "api/observe/slow"},
	},
	"api/httpd/openapi": {},
	"api/httpd/contract": {
		others: []string{"github.com/santhosh-tekuri/jsonschema/v6"},
	},
	"api/ui": {},
	"api/resp": {
		ours:   []string{"api", "api/admission", "api/door", "api/front", "api/observe", "api/observe/trace"},
		others: []string{"github.com/tidwall/redcon"},
		tests:  []string{"api/fault", "api/observe/trace/tracetest", "api/storetest", "cluster/access/accesstest"},
	},
	"api/consul": {
		ours:  []string{"api", "api/door", "api/front"},
		tests: []string{"api/admission", "api/storetest", "cluster/access/accesstest"},
	},
	"api/kvconnect": {
		ours:   []string{"api", "api/door", "api/front"},
		others: []string{"google.golang.org/protobuf/encoding/protowire"},
		tests:  []string{"api/storetest", "cluster/access/accesstest"},
	},
	"api/workerskv": {
		ours:  []string{"api", "api/door", "api/front"},
		tests: []string{"api/storetest", "cluster/access/accesstest"},
	},
	"fsm": {
		ours: []string{"api", "api/codec", "fsm/engine", "fsm/ident"},
	},
	"fsm/placement": {
		ours:   []string{"api", "fsm/engine", "fsm/ident"},
		others: []string{cbor},
	},
	"fsm/model": {
		ours: []string{"api", "fsm"},
	},
	"fsm/engine": {
		others: []string{"github.com/tidwall/btree", "github.com/cockroachdb/pebble"},
	},
	"transport": {
		others: []string{hclog, "github.com/soheilhy/cmux"},
		tests:  []string{"transport/wan"},
	},
	"transport/rpc": {
		ours:   []string{"api", "api/admission", "api/observe/trace"},
		others: []string{"google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto", cbor},
		tests:  []string{"transport", "transport/wan"},
	},
	"transport/wan": {
		others: []string{yaml},
	},
	"cluster/replica": {
		ours:   []string{"api", "api/observe", "api/observe/trace", "cluster/notice", "cluster/replica/checkpoint", "cluster/replica/logstore"},
		others: []string{hclog, hraft},
	},
	"cluster/replica/checkpoint": {
		ours:   []string{"api"},
		others: []string{hraft},
	},
	"cluster/replica/logstore": {
		ours:   []string{"api"},
		others: []string{hclog, hraft, "github.com/hashicorp/raft-boltdb", "github.com/hashicorp/raft-wal", "go.etcd.io/bbolt"},
	},
	"cluster/group": {
		ours:   []string{"api", "api/admission", "api/observe", "api/observe/trace", "cluster/replica", "cluster/words", "fsm", "fsm/ident"},
		others: []string{hclog},
		tests:  []string{"fsm/engine"},
	},
	"cluster/meta": {
		ours:   []string{"api", "cluster/notice", "cluster/replica", "fsm/ident", "fsm/placement"},
		others: []string{hclog},
		tests:  []string{"fsm/engine"},
	},
	"cluster/peer": {
		ours:   []string{"api", "api/admission", "cluster/words", "api/fault", "api/observe", "api/observe/trace", "api/wire", "transport/rpc"},
		others: []string{hclog},
		tests:  []string{"api/observe/trace/tracetest", "cluster/peer/peertest"},
	},
	"cluster/peer/peertest": {
		ours: []string{"api", "api/wire", "cluster/peer", "transport", "transport/wan"},
	},
	"cluster/remote": {
		ours:  []string{"api", "api/admission", "api/codec", "api/fault", "api/observe", "api/observe/trace", "api/wire", "cluster/peer", "cluster/words", "fsm", "fsm/ident", "fsm/placement"},
		tests: []string{"cluster/peer/peertest", "fsm/engine", "transport", "transport/wan"},
	},
	"cluster/access": {
		ours: []string{"api", "api/front", "fsm/placement"},
	},
	"cluster/access/accesstest": {
		ours: []string{"api", "api/front", "api/lock", "api/storetest", "cluster/access", "fsm/placement"},
	},
	"cluster/notice": {},
	"cluster/join": {
		ours:  []string{"api"},
		tests: []string{"transport/wan"},
	},
	"cluster/router": {
		ours:   []string{"api", "api/admission", "api/fault", "api/observe", "cluster/remote", "cluster/words", "fsm", "fsm/ident", "fsm/placement"},
		others: []string{hclog},
	},
	"cluster/txn": {
		ours:   []string{"api", "api/admission", "api/fault", "api/observe", "api/observe/trace", "cluster/remote", "cluster/words", "fsm", "fsm/ident", "fsm/placement"},
		others: []string{hclog},
		tests:  []string{"api/front", "api/httpd", "cluster/group", "cluster/router", "fsm/engine"},
	},
	"cluster/leasecache": {
		ours:  []string{"api", "api/admission", "api/fault", "api/observe", "api/observe/trace", "cluster/words", "fsm/ident"},
		tests: []string{"cluster/clock"},
	},
	"cluster/watch": {
		ours:  []string{"api", "api/fault", "api/observe", "cluster/cursor", "cluster/words", "fsm/placement"},
		tests: []string{"api/storetest", "fsm/ident"},
	},
	"cluster/traces": {
		ours:   []string{"api", "api/observe", "api/observe/trace"},
		others: []string{"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/exporters/otlp", "go.opentelemetry.io/otel/sdk"},
	},
	"cluster/clock": {
		ours:   []string{"api", "cluster/words"},
		others: []string{"golang.org/x/sys"},
	},
	"cluster": {
		ours:   []string{"api", "api/admission", "api/client", "api/consul", "api/fault", "api/front", "api/httpd", "api/kvconnect", "api/lock", "api/observe", "api/observe/slow", "api/observe/trace", "api/resp", "api/wire", "api/workerskv", "cluster/*", "fsm", "fsm/engine", "fsm/ident", "fsm/placement", "transport", "transport/rpc"},
		others: []string{hclog, "github.com/prometheus/client_golang"},
		tests:  []string{"transport/wan", "cluster/local"},
	},
	"cluster/local": {
		ours:   []string{"api", "api/client", "cluster", "transport/wan"},
		others: []string{hclog},
		tests:  []string{"api/httpd/contract"},
	},

	"cmd/edgehold": {
		ours:   []string{"api", "api/client", "cluster", "cluster/local", "cluster/words", "cmd/edgehold/bench", "cmd/edgehold/bench/load", "cmd/edgehold/bundle", "cmd/edgehold/doctor", "cmd/edgehold/record", "cmd/edgehold/top", "cmd/edgehold/transfer"},
		others: []string{hclog, "github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/schollz/progressbar", "golang.org/x/term", yaml},
		tests:  []string{"api/front", "api/httpd", "api/lock"},
	},
	"cmd/edgehold/doctor": {
		ours: []string{"api", "cluster", "cluster/clock", "cluster/join", "cluster/words", "fsm/placement"},
	},
	"cmd/edgehold/top": {
		ours:   []string{"api"},
		others: []string{"golang.org/x/sys", "golang.org/x/term"},
	},
	"cmd/edgehold/bundle": {
		ours: []string{"api"},
	},
	"cmd/edgehold/bench": {
		ours: []string{"api", "api/client", "cmd/edgehold/bench/load", "cmd/edgehold/bench/plot"},
	},
	"cmd/edgehold/bench/load": {
		ours:   []string{"api"},
		others: []string{"github.com/HdrHistogram/hdrhistogram-go"},
	},
	"cmd/edgehold/bench/plot": {
		ours: []string{"cmd/edgehold/bench/load"},
	},
	"cmd/edgehold/record": {
		ours: []string{"api"},
	},
	"cmd/edgehold/transfer": {
		ours:  []string{"api", "api/client", "api/lock", "cmd/edgehold/record"},
		tests: []string{"api/front", "api/httpd"},
	},

	"integration": {
		ours:   []string{"*"},
		others: []string{"*"},
	},
	"integration/history": {
		ours:   []string{"api"},
		others: []string{"github.com/anishathalye/porcupine"},
	},
	"integration/clients": {},
	"integration/fronts": {
		ours:   []string{"*"},
		others: []string{"*"},
	},
	"integration/page": {
		ours:   []string{"*"},
		others: []string{"*"},
	},
	"integration/mutants":   {},
	"integration/platforms": {},
	"examples/accounts": {
		ours: []string{"api", "api/client"},
	},
	"examples/wasm-edge": {
		ours:   []string{"api", "api/client", "cluster", "cluster/local"},
		others: []string{"github.com/tetratelabs/wazero"},
	},
	"examples/sessions": {
		ours: []string{"api", "api/client"},
	},
}

func allowed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		dir, ok := strings.CutSuffix(a, "/*")
		return a == "*" || a == name || ok && strings.HasPrefix(name, dir+"/") && name != "cluster/local"
	})
}

func allowedOther(list []string, name string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		return a == "*" || name == a || strings.HasPrefix(name, a+"/")
	})
}

// TestArrows holds the arrows between the rooms: every import of every file must stand in the table.
func TestArrows(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "venv" || otherModule(file)) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, err := filepath.Rel("..", filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		line, ok := house[pkg]
		if !ok {
			t.Errorf("%s: package %s has no line in the table of the house", file, pkg)
			return nil
		}
		seen[pkg] = true
		checkImports(t, file, pkg, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range house {
		if !seen[pkg] {
			t.Errorf("the table has a line for %s, which has no file", pkg)
		}
	}
}

// otherModule reports whether the folder is another module, which the table does not cover.
func otherModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil && dir != ".."
}

func checkImports(t *testing.T, file, pkg string, line room) {
	test := strings.HasSuffix(file, "_test.go")
	for _, name := range importsOf(t, file) {
		own, isOurs := strings.CutPrefix(name, module)
		first, _, _ := strings.Cut(name, "/")
		switch {
		case isOurs && (own == pkg || allowed(line.ours, own)):
		case isOurs && test && (own == "api/storetest" || allowed(line.tests, own)):
		case isOurs:
			t.Errorf("%s: %s may not import %s", path.Base(file), pkg, own)
		case !strings.Contains(first, "."): // the standard library
		case allowedOther(line.others, name):
		case test && allowedOther([]string{hclog, "golang.org/x/sys", "golang.org/x/net"}, name):
		default:
			t.Errorf("%s: %s may not import %s", path.Base(file), pkg, name)
		}
	}
}

// TestSDKImports: the Go SDK, with all that it imports, is the standard library and packages below api, so that a program that imports it
// builds nothing else.
func TestSDKImports(t *testing.T) {
	seen := map[string]bool{}
	for next := []string{"api/client"}; len(next) > 0; next = next[1:] {
		pkg := next[0]
		if seen[pkg] {
			continue
		}
		seen[pkg] = true
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pkg), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no files: %v", pkg, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, name := range importsOf(t, file) {
				own, ours := strings.CutPrefix(name, module)
				first, _, _ := strings.Cut(name, "/")
				switch {
				case ours && (own == "api" || strings.HasPrefix(own, "api/")):
					next = append(next, own)
				case ours || strings.Contains(first, "."):
					t.Errorf("%s, which api/client needs, imports %s", pkg, name)
				}
			}
		}
	}
	if !seen["api/wire"] || seen["api/observe/trace"] {
		t.Errorf("it needs %v", seen)
	}
}

// importsOf returns the paths that a file imports.
func importsOf(t *testing.T, file string) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range f.Imports {
		name, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	return all
}
