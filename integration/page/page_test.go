package page

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/local"
)

var screenshots = flag.Bool("screenshots", false, "write the pictures in docs/images")

// maxPicture bounds a picture, in bytes.
const maxPicture = 150 << 10

// TestPage: every view on a planet of twelve nodes, with a load; what a person does with it; and not one complaint of the browser.
func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser says nothing about races")
	}
	x := openTab(t)
	p := local.Dev(t, local.WithServers(3), local.WithWAN("real"), local.WithFaults())
	w := &world{DevPlanet: p, tab: x, url: urlOf(p, "us-east-edge-1")}
	w.fill(t)
	w.work(t)
	x.size(1360, 860)
	x.do(chromedp.Navigate(w.url + "/ui/"))
	for _, step := range []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"Overview", overview}, {"Nodes", nodes}, {"Leases", leases}, {"Requests", requests}, {"Keys", keys}, {"OddKeys", oddKeys}, {"TryIt", tryIt},
		{"Keyboard", keyboard}, {"Small", small}, {"Calm", calm}, {"Pause", pause}, {"Cost", cost}, {"Cut", cut}, {"Stop", stop}, {"WrongToken", wrongToken},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			x.t = t
			step.run(t, w)
			x.quiet()
		})
		x.t = t
		if !ok {
			return
		}
	}
}

// world is the planet with the browser.
type world struct {
	*local.DevPlanet
	*tab
	url string
}

func urlOf(p *local.DevPlanet, node api.NodeID) string {
	for _, n := range p.Nodes() {
		if n.Node == node {
			return n.URL
		}
	}
	return ""
}

// The odd keys, and what the page shows of them.
var odd = []struct{ key, shown string }{
	{"odd/\xff\xfe\x00", `odd/\xff\xfe\x00`},
	{`odd/<img src=x onerror=alert(1)>`, `odd/<img src=x onerror=alert(1)>`},
	{"odd/\u202egpj.exe", `odd/\xe2\x80\xaegpj.exe`},
	{"odd/\u0645\u0631\u062d\u0628\u0627", "odd/\u0645\u0631\u062d\u0628\u0627"},
	{"odd/two\nlines", `odd/two\x0alines`},
	{`odd/back\slash`, `odd/back\slash`},
}

// fill writes 10,000 keys and the odd ones, and one that it deletes.
func (w *world) fill(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := w.Client("eu-west")
	for i := range 10 {
		err := c.Txn(ctx, func(tx *client.Tx) error {
			for j := range 1000 {
				if err := tx.Put(api.Key(fmt.Sprintf("eu-west/many/%05d", 1000*i+j)), []byte("v")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range odd {
		if _, err := w.Client("us-east").Put(ctx, api.Key(o.key), []byte(o.key)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Put(ctx, "us-east/page/past", []byte("once")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(ctx, "us-east/page/past"); err != nil {
		t.Fatal(err)
	}
}

// work reads and writes a little, as long as the test runs.
func (w *world) work(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	every := func(d time.Duration, region api.RegionID, f func(ctx context.Context, c *client.Client, i int)) {
		c := w.Client(region)
		wg.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				one, end := context.WithTimeout(ctx, time.Second)
				f(one, c, i)
				end()
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	read := func(ctx context.Context, c *client.Client, i int) {
		_, _ = c.Get(ctx, api.Key(fmt.Sprintf("eu-west/many/%05d", i%20))) // it fails while regions are cut off
	}
	every(20*time.Millisecond, "us-east", read)
	every(20*time.Millisecond, "ap-south", read)
	every(400*time.Millisecond, "eu-west", func(ctx context.Context, c *client.Client, i int) {
		_, _ = c.Put(ctx, api.Key(fmt.Sprintf("eu-west/many/%05d", i%20)), fmt.Appendf(nil, "value %d", i)) // likewise
	})
	every(250*time.Millisecond, "ap-south", func(ctx context.Context, c *client.Client, i int) {
		_, _ = c.Put(ctx, api.Key(fmt.Sprintf("us-east/log/%d", i%50)), []byte("x")) // likewise
	})
}

func overview(t *testing.T, w *world) {
	w.await("document.querySelectorAll('.map .node').length === 12")
	w.says("#feed-text", "live")
	w.says(".tiles", "12 of 12")
	for _, kind := range []string{"lease", "owner", "write"} {
		w.await(fmt.Sprintf("parseFloat(document.querySelector('.tile.%s b').innerText) > 0", kind))
	}
	w.await("document.querySelectorAll('.map .label').length === 3")
	w.await("[...document.querySelectorAll('.map .label')].every(e => /ms$/.test(e.textContent))")
	w.await("document.querySelectorAll('.map .node.leads').length >= 3")
	for _, kind := range []string{"lease", "owner", "write", "revoke"} {
		w.await(fmt.Sprintf("document.querySelector('.map .dot.%s')", kind))
	}
	w.says(".alarms, .ok", "There are no alarms.")
	w.await("[...document.querySelectorAll('.spark polyline')].some(e => e.points.length > 8)")
	w.keep("ui-overview")
}

func nodes(t *testing.T, w *world) {
	w.open("nodes")
	w.await("document.querySelectorAll('#view table')[0]?.tBodies[0].rows.length === 12")
	w.await("document.querySelectorAll('#view table')[1]?.tBodies[0].rows.length >= 4")
	w.says("#view", "us-east-edge-1")
	w.says("#view", "leads")
	w.await("[...document.querySelectorAll('#view .badge')].filter(e => e.innerText === 'up').length === 12")
}

func leases(t *testing.T, w *world) {
	w.open("leases")
	w.await("[...document.querySelectorAll('#view table')[1].tBodies[0].rows].some(r => r.cells[0].innerText.includes('edge') && Number(r.cells[2].innerText) > 0)")
	w.says("#view", "good")
	w.await("document.querySelectorAll('#view table')[2].tBodies[0].rows.length === 12")
	w.await("document.querySelectorAll('#view table')[0].tBodies[0].rows.length > 0")
	w.keep("ui-leases")
}

func requests(t *testing.T, w *world) {
	w.open("requests")
	w.await("document.querySelectorAll('#view table')[0].tBodies[0].rows.length > 0")
	w.says("#view", "Of 12 nodes")
	w.says("#view", "No key is locked")
}

func keys(t *testing.T, w *world) {
	w.open("keys")
	w.says("#list-said", "Page 1: 100 keys, and more.")
	w.fillIn("#prefix", "eu-west/many/")
	w.click("form[role=search] button")
	w.says(".keys", "eu-west/many/00099")
	w.pressText("Next page")
	w.says("#list-said", "Page 2: 100 keys, and more.")
	w.says(".keys", "eu-west/many/00199")
	w.pressText("Previous page")
	w.says(".keys", "eu-west/many/00000")
	w.fillIn("#key-name", "us-east/page/new")
	w.fillIn("#key-value", "first")
	w.fillIn("#key-ttl", "1h")
	w.click("#key-write")
	w.says("#key-said", "Written.")
	w.fillIn("#key-value", "second")
	w.click("#key-write")
	w.await("document.querySelectorAll('.split table')[0].tBodies[0].rows.length === 2")
	w.click("#key-read")
	w.says("#key-said", "Read 6 B.")
	w.says(".facts", "Lives for")
	w.await("document.querySelectorAll('.split table')[0].tBodies[0].rows.length === 2") // its history
	if _, err := w.Client("ap-south").Put(t.Context(), "us-east/page/new", []byte("from elsewhere")); err != nil {
		t.Fatal(err)
	}
	w.says(".split table", "from elsewhere")
	w.keep("ui-keys")
	w.expect("412 (Precondition Failed)")
	w.fillIn("#key-value", "third")
	w.click("#key-write")
	w.says("#key-said", "has changed since you read it")
	w.click("#key-delete")
	w.click("#key-sure")
	w.says("#key-said", "Deleted.")
	w.says(".split table", "delete")
	w.expect("404 (Not Found)")
	w.fillIn("#key-name", "us-east/page/past") // another page wrote and deleted it before this one was opened
	w.click("#key-read")
	w.says("#key-said", "There is no such key")
	w.await("[...document.querySelectorAll('.split table')[0].tBodies[0].rows].map(r => r.cells[0].innerText + ' ' + r.cells[1].innerText + ' ' + r.cells[3].innerText).join() === 'before delete ,before put once'")
	w.fillIn("#key-name", `bad\key`)
	w.click("#key-read")
	w.says("#key-said", "In a key, write")
}

func oddKeys(t *testing.T, w *world) {
	w.fillIn("#prefix", "odd/")
	w.click("form[role=search] button")
	w.says("#list-said", fmt.Sprintf("Page 1: %d keys.", len(odd)))
	for _, o := range odd {
		at := fmt.Sprintf("[...document.querySelectorAll('.keyrow')].find(e => e.querySelector('bdi').textContent === %q)", o.shown)
		w.await(at)
		w.run(at + ".click()")
		w.says("#key-said", fmt.Sprintf("Read %d B.", len(o.key)))
		w.await(fmt.Sprintf("(document.querySelector('#key-b64').checked) === %v", strings.HasPrefix(o.key, "odd/\xff")))
		w.run("document.querySelector('#key-said').textContent = ''")
	}
	if n := value[int](w.tab, "document.querySelectorAll('#view img').length"); n != 0 {
		t.Errorf("a key became markup")
	}
}

func tryIt(t *testing.T, w *world) {
	w.open("try")
	w.await("document.querySelector('#try-key').value !== ''")
	w.click("#try-write")
	w.says("#try-said", "Written.")
	// A key that was written lately gets no lease at once.
	w.await(`(() => {
		if (/By lease/.test(document.querySelector('#try-said').innerText)) return true
		const b = document.querySelector('#try-read')
		if (!b.disabled) b.click()
		return false
	})()`)
	w.await("document.querySelectorAll('.bars li.lease').length > 0 && document.querySelectorAll('.bars li.owner').length >= 5")
	w.await("!document.querySelector('#try-read').disabled")
	w.keep("ui-try")
}

// keyboard: Tab alone reaches everything of a view, visibly, and Enter works.
func keyboard(t *testing.T, w *world) {
	w.open("keys")
	w.says("#list-said", "Page 1")
	w.run("document.activeElement.blur(); window.scrollTo(0, 0)")
	reached := map[string]bool{}
	for range 40 {
		w.do(chromedp.KeyEvent(kb.Tab))
		at := value[string](w.tab, "(e => e.id || e.innerText || e.tagName)(document.activeElement)")
		reached[strings.TrimSpace(at)] = true
	}
	for _, name := range []string{"Skip to content", "pause", "token", "Overview", "Try it", "prefix", "List", "key-name"} {
		if !reached[name] && (name != "key-name" || len(reached) < 30) {
			t.Errorf("Tab does not reach %q: %v", name, reached)
		}
	}
	w.run("document.querySelector('#prefix').focus(); document.querySelector('#prefix').value = 'odd/'")
	w.do(chromedp.KeyEvent(kb.Enter))
	w.says("#list-said", fmt.Sprintf("%d keys.", len(odd)))
	w.run("document.querySelector('.keyrow').focus()")
	w.do(chromedp.KeyEvent(kb.Enter))
	w.says("#key-said", "Read")
	w.run("document.querySelector('#token').focus()")
	w.do(chromedp.KeyEvent(kb.Enter))
	w.await("document.querySelector('#token-dialog').open && document.activeElement.id === 'token-text'")
	w.do(chromedp.KeyEvent(kb.Escape))
	w.await("!document.querySelector('#token-dialog').open && document.activeElement.id === 'token'")
}

// small: no view is wider than a small telephone, in the dark too.
func small(t *testing.T, w *world) {
	w.size(360, 760, feature("prefers-color-scheme", "dark"))
	for _, view := range []string{"overview", "nodes", "leases", "requests", "keys", "try"} {
		w.open(view)
		w.await("document.querySelector('#view').innerText !== ''")
		w.fits(view)
		if view == "overview" {
			w.await("document.querySelectorAll('.map .node').length === 12")
			w.keep("ui-small")
		}
	}
	if bg := value[string](w.tab, "getComputedStyle(document.body).backgroundColor"); bg != "rgb(14, 18, 23)" {
		t.Errorf("in the dark the page is %s", bg)
	}
	w.size(1360, 860)
}

// calm: nothing moves for those who ask for that.
func calm(t *testing.T, w *world) {
	w.open("nodes")
	w.size(1360, 860, feature("prefers-reduced-motion", "reduce"))
	w.open("overview")
	seen := "document.querySelector('#feed-text').dataset"
	w.run(seen + ".calm = '0'; (() => { const p = document.querySelector('.tile.lease .spark polyline'); new MutationObserver(() => { " + seen + ".calm = 1 + Number(" + seen + ".calm) }).observe(p, {attributes: true}) })()")
	w.await("Number(" + seen + ".calm) >= 2") // two more events
	if n := value[int](w.tab, "document.querySelectorAll('.map .dot').length + document.getAnimations().length"); n != 0 {
		t.Errorf("%d things move", n)
	}
	w.size(1360, 860)
}

func pause(t *testing.T, w *world) {
	w.click("#pause")
	w.says("#feed-text", "paused · data is")
	w.click("#pause")
	w.says("#feed-text", "live")
	w.silent("#feed-text", "old")
}

// cost says what an open page costs.
func cost(t *testing.T, w *world) {
	busy := func() (seconds float64) {
		all, err := chromedp.Run(w.ctx, func(ctx context.Context, t *chromedp.Target) (performance.GetMetricsResult, error) {
			return cdp.Call(ctx, t, performance.GetMetrics, cdp.Empty{})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all.Metrics {
			if m.Name == "TaskDuration" {
				seconds = m.Value
			}
		}
		return seconds
	}
	w.do(called(performance.Enable, performance.EnableParams{}))
	w.run(`window.edgeholdBytes = 0; window.edgeholdEvents = 0
		fetch('/v1/cluster/live').then(async r => { for (const reader = r.body.getReader(); edgeholdEvents < 3; edgeholdEvents++) edgeholdBytes += (await reader.read()).value.length; r.body.cancel?.().catch(() => {}) })`)
	before, began := busy(), time.Now()
	w.await("edgeholdEvents >= 3")
	took := time.Since(began).Seconds()
	t.Logf("an open page: %.1f KB an event, %.1f %% of a processor in the browser", value[float64](w.tab, "edgeholdBytes / edgeholdEvents / 1000"), 100*(busy()-before)/took)
}

// cut: a region that is cut off is shown as such, with the age of its data, and heals.
func cut(t *testing.T, w *world) {
	w.open("overview")
	for _, pair := range []string{"us-east~ap-south", "eu-west~ap-south"} {
		w.click(fmt.Sprintf("button[data-link=%q]", pair))
		w.says(fmt.Sprintf("button[data-link=%q]", pair), "Heal")
	}
	w.await("document.querySelectorAll('.map .node.unreachable').length === 4")
	w.await("document.querySelectorAll('.map .label.cut').length >= 1")
	w.says(".alarms", "None of the 4 nodes of ap-south answers")
	w.says(".tiles", "8 of 12")
	w.await("[...document.querySelectorAll('.alarms span')].every(e => e.innerText !== '')")
	w.keep("ui-cut")
	w.pressText("Heal all")
	w.await("document.querySelectorAll('.map .node.unreachable').length === 0")
	w.await("document.querySelectorAll('.map .label.cut').length === 0")
	w.says(".tiles", "12 of 12")
}

// stop: a node that is stopped is shown as down, with the age of what is known of it, and comes back.
func stop(t *testing.T, w *world) {
	w.click("button[data-node='eu-west-edge-1']")
	w.open("nodes")
	row := "[...document.querySelectorAll('#view table')[0].tBodies[0].rows].find(r => r.cells[0].innerText === 'eu-west-edge-1')"
	w.await(row + "?.cells[1].innerText === 'down'")
	w.await("/ s ago$/.test(" + row + ".cells[4].innerText) && " + row + ".cells[5].innerText === '–'")
	w.open("overview")
	w.says("button[data-node='eu-west-edge-1']", "Start")
	w.says(".alarms", "eu-west-edge-1 has not answered for")
	w.click("button[data-node='eu-west-edge-1']")
	w.says(".tiles", "12 of 12")
	w.says("button[data-node='eu-west-edge-1']", "Stop")
}

// wrongToken: what a token may not do is said in words, and the page goes on once the token is another.
func wrongToken(t *testing.T, w *world) {
	w.expect("401 (Unauthorized)")
	w.click("#token")
	w.fillIn("#token-text", "eh_wrong")
	w.click("#token-form button[type=submit]")
	w.says("#notice", "Type in a valid token.")
	w.says("#feed-text", "data is")
	w.open("keys")
	w.says("#list-said", "Type in a valid token.")
	if n := value[int](w.tab, "[localStorage, sessionStorage].reduce((n, s) => n + s.length, 0) + document.cookie.length + (location.href.includes('wrong') ? 1 : 0)"); n != 0 {
		t.Error("the token is kept somewhere")
	}
	w.click("#token")
	w.click("#token-forget")
	w.says("#feed-text", "live")
	w.await("document.querySelector('#notice').hidden")
	w.says("#list-said", "Page 1")
}

// fillIn gives a field a text.
func (w *world) fillIn(selector, text string) { w.tab.t.Helper(); w.tab.fill(selector, text) }

// pressText presses the button with that text.
func (w *world) pressText(text string) {
	w.tab.t.Helper()
	at := fmt.Sprintf("[...document.querySelectorAll('button')].find(e => e.innerText === %q)", text)
	w.await(at + " && !" + at + ".disabled")
	w.run(at + ".click()")
}

// TestPageIsStatic: the page is there for everybody, and a page of another origin whose name was made to resolve here gets none.
func TestPageIsStatic(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a planet")
	}
	p := local.Dev(t, local.WithRegions("here"), local.WithEdges(0), local.WithTLS())
	c := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: trust(t, p.Root())}}
	for path, want := range map[string]int{"/ui/": 200, "/ui/app.js": 200, "/ui/nothing.js": 404, "/v1/cluster/live": 401, "/v1/cluster": 401} {
		r, err := c.Get(p.Nodes()[0].URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s is answered %d, want %d", path, r.StatusCode, want)
		}
	}
}
