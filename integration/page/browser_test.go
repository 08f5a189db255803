package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/edgehold/edgehold/integration/clients"
)

// patience bounds each wait.
const patience = 30 * time.Second

// tab is a tab of a headless Chromium. Its methods end the test if what they wait for does not come.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	troubles []string // guarded by mu: what the console, the log and the policy have said
	expected []string // guarded by mu: parts of those that a test provokes
}

// openTab starts a browser with one tab. It ends with the test.
func openTab(t *testing.T) *tab {
	t.Helper()
	program := clients.Look("chromium", "chromium-browser", "google-chrome")
	if program == "" {
		clients.Missing(t, "chromium")
	}
	profile, err := os.MkdirTemp("", "edgehold-chromium-") //nolint:usetesting // processes of Chromium may outlive the one that is ended here, and still write
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) }) // as far as they let it
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(patience))
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	x := &tab{t: t}
	ctx, cancel := chromedp.NewContext(allocated, chromedp.WithListener(x.hear))
	t.Cleanup(cancel)
	x.ctx = ctx
	x.do(called(log.Enable, cdp.Empty{}))
	return x
}

// hear notes every error and warning.
func (x *tab) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		x.trouble(fmt.Sprintf("exception: %+v", e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var b strings.Builder
			for _, a := range e.Args {
				fmt.Fprintf(&b, " %s%s", a.Value, a.Description)
			}
			x.trouble("console:" + b.String())
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			x.trouble(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

func (x *tab) trouble(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, part := range x.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	x.troubles = append(x.troubles, text)
}

// expect lets messages with that part pass from here on.
func (x *tab) expect(part string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.expected = append(x.expected, part)
}

// quiet fails the test if the browser has complained.
func (x *tab) quiet() {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, text := range x.troubles {
		x.t.Errorf("the browser says: %s", text)
	}
	x.troubles = nil
}

// called is a command of the browser whose answer does not matter.
func called[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func (x *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	x.t.Helper()
	if err := chromedp.Do(x.ctx, steps...); err != nil {
		x.t.Fatal(err)
	}
}

// value evaluates an expression.
func value[T any](x *tab, expression string) T {
	x.t.Helper()
	v, err := chromedp.Run(x.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		x.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// run evaluates an expression for what it does.
func (x *tab) run(expression string) {
	x.t.Helper()
	value[bool](x, "(() => { "+expression+"; return true })()")
}

// await waits until an expression is true.
func (x *tab) await(expression string) {
	x.t.Helper()
	deadline := time.Now().Add(patience)
	for !value[bool](x, "!!("+expression+")") {
		if time.Now().After(deadline) {
			x.t.Fatalf("%s does not become true. The page says: %.1500s", expression, value[string](x, "document.body.innerText"))
		}
		select {
		case <-x.t.Context().Done():
			x.t.Fatal(x.t.Context().Err())
		case <-time.After(20 * time.Millisecond): // between two looks
		}
	}
}

// says waits until the element has the text.
func (x *tab) says(selector, text string) {
	x.t.Helper()
	x.await(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, text))
}

// silent waits until the element lacks the text.
func (x *tab) silent(selector, text string) {
	x.t.Helper()
	x.await(fmt.Sprintf("document.querySelector(%q) && !document.querySelector(%q).innerText.includes(%q)", selector, selector, text))
}

// open shows a view.
func (x *tab) open(view string) {
	x.t.Helper()
	x.run(fmt.Sprintf("location.hash = '#/%s'", view))
	x.await(fmt.Sprintf("document.querySelector('#tabs a[aria-current]')?.hash === '#/%s'", view))
}

// click presses an element as a mouse does, once it can be pressed.
func (x *tab) click(selector string) {
	x.t.Helper()
	x.await(fmt.Sprintf("document.querySelector(%q) && !document.querySelector(%q).disabled", selector, selector))
	x.run(fmt.Sprintf("document.querySelector(%q).click()", selector))
}

// fill gives a field a text.
func (x *tab) fill(selector, text string) {
	x.t.Helper()
	x.await(fmt.Sprintf("document.querySelector(%q)", selector))
	x.run(fmt.Sprintf("document.querySelector(%q).value = %q", selector, text))
}

// size sets the size of the window, and whether it is dark and calm.
func (x *tab) size(width, height int64, media ...*emulation.MediaFeature) {
	x.t.Helper()
	x.do(chromedp.EmulateViewport(width, height), called(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: media}))
}

// feature is a preference of a person, as in a media query.
func feature(name, value string) *emulation.MediaFeature {
	return &emulation.MediaFeature{Name: name, Value: value}
}

// fits checks that nothing is wider than the window.
func (x *tab) fits(where string) {
	x.t.Helper()
	if w := value[[]float64](x, "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"); w[0] > w[1] {
		x.t.Errorf("%s is %v wide in a window of %v", where, w[0], w[1])
	}
}

// keep writes a picture of the window to docs/images, if the test is asked for pictures.
func (x *tab) keep(name string) {
	x.t.Helper()
	if !*screenshots {
		return
	}
	png, err := chromedp.Run(x.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		x.t.Fatal(err)
	}
	if len(png) > maxPicture {
		x.t.Errorf("the picture %s has %d bytes, over %d", name, len(png), maxPicture)
	}
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "images", name+".png"), png, 0o644); err != nil {
		x.t.Fatal(err)
	}
}
