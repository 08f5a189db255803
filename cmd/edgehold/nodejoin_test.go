package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

// TestSecured: outside loopback a node has TLS, or is refused with an error that asks for it; on loopback it has TLS if asked to.
func TestSecured(t *testing.T) {
	taken := t.TempDir() // a folder of a node of a plain cluster
	if err := os.WriteFile(filepath.Join(taken, "node"), []byte("n\nr\nserver\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		o              nodeOptions
		exposed        bool
		secure, isOpen bool
		says           string
	}{
		{"founds on loopback", nodeOptions{Config: cluster.Config{Bootstrap: true}}, false, false, false, ""},
		{"founds on loopback, secure", nodeOptions{Config: cluster.Config{Bootstrap: true}, join: joinOptions{secure: true}}, false, true, false, ""},
		{"founds outside", nodeOptions{Config: cluster.Config{Bootstrap: true}}, true, true, false, ""},
		{"founds outside, insecure", nodeOptions{Config: cluster.Config{Bootstrap: true}, insecure: true}, true, false, true, ""},
		{"founds by a folder", nodeOptions{Config: cluster.Config{Bootstrap: true, Init: "x"}}, false, true, false, ""},
		{"joins outside", nodeOptions{}, true, false, false, "--join-token"},
		{"joins outside, insecure", nodeOptions{insecure: true}, true, false, true, ""},
		{"joins outside by a token", nodeOptions{join: joinOptions{token: "@x"}}, true, false, false, ""},
		{"comes back outside without proof", nodeOptions{Config: cluster.Config{Bootstrap: true, Dir: taken}}, true, true, false, "--insecure on a private network"},
		{"an edge without a folder", nodeOptions{Config: cluster.Config{Role: api.RoleEdge}, join: joinOptions{token: "@x"}}, true, false, false, "keeps its key in --data"},
		{"an edge without a folder, drawn", nodeOptions{Config: cluster.Config{Role: api.RoleEdge}, drawn: true, join: joinOptions{token: "@x"}}, true, false, false, ""},
	} {
		err := c.o.secured(c.exposed)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || c.o.Secure != c.secure || c.o.open != c.isOpen {
			t.Errorf("%s: secure %v, open %v, %v", c.name, c.o.Secure, c.o.open, err)
		}
	}
}

// TestJoinSettings: settings that contradict each other are wrong usage.
func TestJoinSettings(t *testing.T) {
	server := []string{"server", "--region", "r", "--node", "n", "--listen", "127.0.0.1:0", "--data", t.TempDir()}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--bootstrap", "--secure", "--insecure"}, "contradict each other"},
		{[]string{"--bootstrap", "--init", "x", "--insecure"}, "--init is for a cluster with TLS"},
		{[]string{"--join", "h:1", "--secure"}, "go with --bootstrap"},
		{[]string{"--join", "h:1", "--join-token", "@x", "--join-token-file", "y"}, "give one of"},
		{[]string{"--join", "h:1", "--join-timeout", "-1s"}, "--join-timeout"},
		{[]string{"--join", "h:1", "--node", "+"}, "before the plus sign"},
	} {
		i := new(invocation).run(append(append([]string{}, server...), c.args...)...)
		if i.status != 2 || !strings.Contains(i.err, c.says) {
			t.Errorf("%v: exit %d, %q", c.args, i.status, i.err)
		}
	}
}

// TestDrawnNames: NAME+ draws four letters once, and remembers them in the data folder.
func TestDrawnNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	draw := func(dir string) api.NodeID {
		t.Helper()
		o := &nodeOptions{Config: cluster.Config{ID: "us-east-1+", Dir: dir}}
		if err := o.draw(); err != nil || !o.drawn {
			t.Fatal(err)
		}
		return o.ID
	}
	first := draw(dir)
	if !regexp.MustCompile(`^us-east-1-[a-z2-9]{4}$`).MatchString(string(first)) {
		t.Errorf("the name is %q", first)
	}
	if again := draw(dir); again != first {
		t.Errorf("%q, and then %q", first, again)
	}
	if err := os.WriteFile(filepath.Join(dir, "node"), []byte(string(first)+"\nr\nserver\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "name")); err != nil {
		t.Fatal(err)
	}
	if again := draw(dir); again != first {
		t.Errorf("the folder is that of %q, and the node is %q", first, again)
	}
	if other := draw(filepath.Join(t.TempDir(), "other")); other == first {
		t.Errorf("a new folder has the old name %q", other)
	}
	if o := (&nodeOptions{Config: cluster.Config{ID: "plain", Dir: dir}}); o.draw() != nil || o.ID != "plain" || o.drawn {
		t.Errorf("a name without a plus sign is %q", o.ID)
	}
}

// TestTokenSource: the token comes from where --join-token says; one on the command line warns, and a file that others may read is refused.
func TestTokenSource(t *testing.T) {
	good, wide := writeFile(t, "good", "ehj1_x\n"), writeFile(t, "wide", "ehj1_x\n")
	if err := os.Chmod(wide, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		join  joinOptions
		stdin string
		want  string
		says  string // an error or a warning
	}{
		{"none", joinOptions{}, "", "", ""},
		{"file", joinOptions{token: "@" + good}, "", "ehj1_x", ""},
		{"wide file", joinOptions{token: "@" + wide}, "", "", "chmod 600 " + wide},
		{"no file", joinOptions{token: "@" + good + "x"}, "", "", "no such file"},
		{"standard input", joinOptions{token: "-"}, "ehj1_y\n", "ehj1_y", ""},
		{"literal", joinOptions{token: "ehj1_z"}, "", "ehj1_z", "can see the join token"},
		{"environment", joinOptions{token: "ehj1_z", fromEnv: true}, "", "ehj1_z", ""},
		{"named file", joinOptions{tokenFile: good}, "", "ehj1_x", ""},
	} {
		var errOut strings.Builder
		source, err := (&nodeOptions{join: c.join}).tokenSource(&terminal{in: strings.NewReader(c.stdin), err: &errOut})
		said, got := errOut.String(), ""
		if err != nil {
			said = err.Error()
		} else if source != nil {
			if got, err = source(t.Context()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if strings.TrimSpace(got) != c.want || !strings.Contains(said, c.says) || (c.says == "") != (said == "") || strings.Contains(said, "ehj1_") {
			t.Errorf("%s: %q, %q", c.name, got, said)
		}
	}
}

// TestAwaitSecret: --join-token-file waits for the file, until --join-timeout.
func TestAwaitSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		time.AfterFunc(time.Minute, func() { _ = os.WriteFile(path, []byte("ehj1_x"), 0o600) })
		began := time.Now()
		if got, err := awaitSecret(t.Context(), path); got != "ehj1_x" || err != nil || time.Since(began) < time.Minute {
			t.Errorf("%q, %v after %v", got, err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := awaitSecret(ctx, path+"x"); err == nil || !strings.Contains(err.Error(), "edgehold cluster token create") {
			t.Errorf("no file: %v", err)
		}
	})
}

// TestRefusals: a node ends when it was removed, and when a server says by the newest map that its key is another.
func TestRefusals(t *testing.T) {
	var said []string
	end := func(err error) { said = append(said, err.Error()) }
	r := &refusals{node: "us-east-1", removed: end, failed: end}
	for _, s := range []cluster.Standing{{Why: "unsure", By: "s2"}, {Why: "unknown", By: "s3"}} {
		if r.note(s); len(said) != 0 {
			t.Errorf("%+v ends it: %v", s, said)
		}
	}
	r.note(cluster.Standing{Why: "key", By: "s3"})
	r.note(cluster.Standing{Why: "removed", By: "s3"})
	if len(said) != 2 || said[0] != "this node's key is not the one the cluster has for us-east-1 (an old image?): remove it, join under a new id" || !strings.Contains(said[1], "was removed") {
		t.Errorf("it ends with %q", said)
	}
}
