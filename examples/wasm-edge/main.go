// Command wasm-edge is an edge runtime in one file: it serves visitors by handlers in WebAssembly, with an edge of Edgehold in its own
// process. Handlers are values: to put one deploys it everywhere, at once. What a handler reads is linearizable, and under a lease it takes
// neither a socket nor a system call.
//
// Usage: go run ./examples/wasm-edge -join HOST:PORT,.. -region R [-listen HOST:PORT] [-data FOLDER] [-wan FILE]; EDGEHOLD_JOIN_TOKEN
// has the join token of a cluster with TLS.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	wasm "github.com/tetratelabs/wazero/api"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/local"
)

const (
	// handlers is where handlers are deployed: the key handlers + NAME has the module that serves /NAME/..
	handlers api.Key = "us-east/handlers/"
	// requestTime and maxPages of 64 KiB bound what one request may use.
	requestTime = 5 * time.Second
	maxPages    = 64
)

// lent are the prefixes of the keys that handlers may use. This program may use every key, as a node may; its handlers may not.
var lent = []api.Key{"us-east/pages/", "us-east/visits/"}

func main() {
	log.SetFlags(0)
	join := flag.String("join", "127.0.0.1:7400", "addresses of servers, separated by commas")
	region := flag.String("region", "ap-south", "region of this process")
	listen := flag.String("listen", "127.0.0.1:8080", "address for visitors")
	data := flag.String("data", "", "folder that keeps the edge's name and key")
	wan := flag.String("wan", "off", "simulated delays between regions: real, off or a WAN file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	delay, err := local.Delay(*wan, api.RegionID(*region))
	if err == nil {
		err = run(ctx, *listen, cluster.EdgeConfig{
			Join: strings.Split(*join, ","), Region: api.RegionID(*region), Token: api.Secret(os.Getenv("EDGEHOLD_JOIN_TOKEN")),
			Data: *data, Delay: delay,
		})
	}
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves visitors until ctx ends.
func run(ctx context.Context, listen string, cfg cluster.EdgeConfig) error {
	edge, err := cluster.OpenEdge(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = edge.Close() }() // it gives the leases back
	r, err := newRuntime(ctx, edge.Client)
	if err != nil {
		return err
	}
	defer func() { _ = r.wasm.Close(context.WithoutCancel(ctx)) }() // no handler runs any more
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("the handlers at %s/ are served at http://%s/NAME/\n", strings.TrimSuffix(string(handlers), "/"), l.Addr())
	s := &http.Server{Handler: r, ReadHeaderTimeout: requestTime}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	stopped := func(err error) error {
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			return errors.Join(err, served)
		}
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-edge.Done(): // the cluster has removed it
		_ = s.Close()
		return stopped(edge.Err())
	case <-ctx.Done():
		return stopped(s.Shutdown(context.WithoutCancel(ctx))) // requests are bounded
	}
}

// Runtime serves HTTP by the handlers in a store.
type Runtime struct {
	store *client.Client
	wasm  wazero.Runtime

	mu       sync.Mutex
	compiled map[string]compiled // by the handler's name
}

// compiled is a handler as it was deployed at one version.
type compiled struct {
	version api.Version
	module  wazero.CompiledModule
}

func newRuntime(ctx context.Context, store *client.Client) (*Runtime, error) {
	w := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(maxPages).WithCloseOnContextDone(true))
	r := &Runtime{store: store, wasm: w, compiled: map[string]compiled{}}
	_, err := w.NewHostModuleBuilder("edgehold").
		NewFunctionBuilder().WithFunc(r.request).Export("request").
		NewFunctionBuilder().WithFunc(r.get).Export("get").
		NewFunctionBuilder().WithFunc(r.add).Export("add").
		NewFunctionBuilder().WithFunc(r.respond).Export("respond").
		Instantiate(ctx)
	return r, err
}

// exchange is one request as its handler sees it. The context of the handler's calls has it.
type exchange struct {
	path string
	body []byte
}

type exchangeKey struct{}

func of(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// ServeHTTP has the handler NAME answer /NAME/PATH, in an instance of its own: nothing of a request is left for the next one.
func (r *Runtime) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	name, path, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	x := &exchange{path: path}
	ctx, cancel := context.WithTimeout(context.WithValue(q.Context(), exchangeKey{}, x), requestTime)
	defer cancel()
	status, err := r.handle(ctx, name, q.Method)
	switch {
	case errors.Is(err, api.CodeNotFound), errors.Is(err, api.CodeInvalid): // an empty NAME makes no key of a handler
		http.Error(w, "no such handler", http.StatusNotFound)
	case err != nil:
		log.Printf("handler %q: %v", name, err) // err has no value of a visitor
		http.Error(w, "the handler failed", http.StatusBadGateway)
	default:
		w.WriteHeader(status)
		_, _ = w.Write(x.body) // the visitor may have gone
	}
}

// handle runs a handler once, and returns the status that it answers with.
func (r *Runtime) handle(ctx context.Context, name, method string) (status int, err error) {
	code, err := r.load(ctx, name)
	if err != nil {
		return 0, err
	}
	instance, err := r.wasm.InstantiateModule(ctx, code, wazero.NewModuleConfig().WithName("")) // "": there may be many
	if err != nil {
		return 0, err
	}
	defer func() { _ = instance.Close(ctx) }() // nothing of it is kept
	handle := instance.ExportedFunction("handle")
	if handle == nil {
		return 0, errors.New("it exports no function handle")
	}
	var posts uint64
	if method == http.MethodPost {
		posts = 1
	}
	out, err := handle.Call(ctx, posts)
	if err != nil {
		return 0, err
	}
	if len(out) != 1 || out[0] < 200 || out[0] > 599 {
		return 0, fmt.Errorf("it answers with status %d", out)
	}
	return int(out[0]), nil
}

// load returns the handler as it is deployed now. The read is linearizable, and under a lease it costs a microsecond or two: so a
// handler that is put at one edge serves the next request at every edge.
func (r *Runtime) load(ctx context.Context, name string) (wazero.CompiledModule, error) {
	r.mu.Lock()
	have, known := r.compiled[name]
	r.mu.Unlock()
	var opts []client.ReadOption
	if known {
		opts = append(opts, client.IfChanged(have.version))
	}
	v, err := r.store.Get(ctx, handlers+api.Key(name), opts...)
	if err != nil {
		return nil, err
	}
	if v.Unchanged {
		return have.module, nil
	}
	module, err := r.wasm.CompileModule(ctx, v.Value)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.compiled[name] = compiled{v.Version, module} // requests may still run the one before
	return module, nil
}

// What a function of module "edgehold" returns instead of a length.
const (
	absent = -1
	failed = -2
)

// request copies the path to where the handler wants it, and returns its length.
func (r *Runtime) request(ctx context.Context, m wasm.Module, to, room uint32) int32 {
	return give(m, []byte(of(ctx).path), to, room)
}

// get copies the value of a key to where the handler wants it.
func (r *Runtime) get(ctx context.Context, m wasm.Module, key, length, to, room uint32) int32 {
	k, ok := lentKey(m, key, length)
	if !ok {
		return failed
	}
	v, err := r.store.Get(ctx, k)
	switch {
	case errors.Is(err, api.CodeNotFound):
		return absent
	case err != nil:
		return failed
	}
	return give(m, v.Value, to, room)
}

// add adds to the number at a key, and copies the sum, in decimal, to where the handler wants it. It takes effect once.
func (r *Runtime) add(ctx context.Context, m wasm.Module, key, length uint32, delta int64, to, room uint32) int32 {
	k, ok := lentKey(m, key, length)
	if !ok {
		return failed
	}
	var sum []byte
	err := r.store.Txn(ctx, func(tx *client.Tx) error {
		if err := tx.Add(k, delta); err != nil {
			return err
		}
		v, err := tx.Get(ctx, k) // sees what tx has written
		sum = v.Value
		return err
	})
	if err != nil {
		return failed
	}
	return give(m, sum, to, room)
}

// respond takes the body of the answer.
func (r *Runtime) respond(ctx context.Context, m wasm.Module, from, length uint32) {
	if b, ok := m.Memory().Read(from, length); ok {
		of(ctx).body = append([]byte(nil), b...) // the memory is the handler's
	}
}

// lentKey reads a key from the handler's memory. ok is false unless handlers may use it.
func lentKey(m wasm.Module, at, length uint32) (k api.Key, ok bool) {
	b, ok := m.Memory().Read(at, length)
	k = api.Key(b)
	for _, p := range lent {
		if ok && strings.HasPrefix(string(k), string(p)) {
			return k, true
		}
	}
	return "", false
}

// give copies b into the handler's memory, and returns its length; failed if there is no room for it.
func give(m wasm.Module, b []byte, to, room uint32) int32 {
	if len(b) > int(room) || !m.Memory().Write(to, b) {
		return failed
	}
	return int32(len(b))
}
