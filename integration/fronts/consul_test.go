package fronts

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/integration/clients"
)

// consulModule is the module with Consul's official Go client and consul-template.
const consulModule = "../consul"

// TestConsulGo: the official Go client of Consul at an edge 200 ms from home and at one at home: keys, blocking queries, transactions, its
// Lock, with a holder that is killed, and its Semaphore.
func TestConsulGo(t *testing.T) {
	t.Parallel()
	near, far := nodeOf(t, api.RoleEdge, home).Consul, nodeOf(t, api.RoleEdge, away).Consul
	t.Logf("%s", run(t, consulModule, []string{"CONSUL_NEAR=" + near, "CONSUL_FAR=" + far, "GOFLAGS="}, "go", "test", "-count=1", "-timeout", "100s", "-v", "."))
}

// TestConsulTemplate: consul-template at an edge 200 ms from home renders a file, and again when a key is written at home and when one of
// a tree is deleted.
func TestConsulTemplate(t *testing.T) {
	t.Parallel()
	program := clients.Need(t, "consul-template")
	near, far := nodeOf(t, api.RoleEdge, home).Consul, nodeOf(t, api.RoleEdge, away).Consul
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.ctmpl"), filepath.Join(dir, "out")
	write(t, in, `{{ key "template/name" }}:{{ range ls "template/list" }} {{ .Key }}={{ .Value }}{{ end }}`)
	consulPut(t, near, "template/name", "one")
	consulPut(t, near, "template/list/a", "1")
	consulPut(t, near, "template/list/b", "2")
	ctx, cancel := context.WithTimeout(t.Context(), runBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-consul-addr", far, "-template", in+":"+out, "-log-level", "debug")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &log, &log, plainEnv()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	defer end()
	rendered := func(want string) {
		t.Helper()
		var got []byte
		for deadline := time.Now().Add(30 * time.Second); string(got) != want; time.Sleep(10 * time.Millisecond) {
			if got, _ = os.ReadFile(out); time.Now().After(deadline) { // it may not be there yet
				end()
				t.Fatalf("it rendered %q, want %q\n%s", got, want, log.String())
			}
		}
	}
	rendered("one: a=1 b=2")
	consulPut(t, near, "template/name", "two")
	rendered("two: a=1 b=2")
	ask(t, http.MethodDelete, "http://"+near+"/v1/kv/template/list/a", "")
	rendered("two: b=2")
}

func consulPut(t *testing.T, address, key, value string) {
	t.Helper()
	if got := ask(t, http.MethodPut, "http://"+address+"/v1/kv/"+key, value); got != "true" {
		t.Fatalf("a write of %s is answered %s", key, got)
	}
}

// terraformMain is a configuration whose state is in Consul's KV, and whose resource waits for a file.
const terraformMain = `terraform {
  backend "consul" {
    address = %q
    scheme  = "http"
    path    = %q
  }
}

variable "input" {}

resource "terraform_data" "app" {
  input            = var.input
  triggers_replace = var.input
  provisioner "local-exec" {
    command = "touch began; while [ ! -e go ]; do sleep 0.05; done"
  }
}
`

// TestConsulTerraform: Terraform keeps its state at an edge 200 ms from home, and of two that apply at once one is refused: the other has
// the lock.
func TestConsulTerraform(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	program := clients.Look("terraform")
	if program == "" {
		t.Skip("terraform is not installed, and no package registry has it")
	}
	near, far := nodeOf(t, api.RoleEdge, home).Consul, nodeOf(t, api.RoleEdge, away).Consul
	first, second, path := t.TempDir(), t.TempDir(), "terraform/"+rand.Text()
	env := []string{"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_CLI_CONFIG_FILE=" + filepath.Join(first, "none.tfrc"), "TF_VAR_input=one"}
	write(t, filepath.Join(first, "none.tfrc"), "")
	write(t, filepath.Join(first, "main.tf"), fmt.Sprintf(terraformMain, far, path))
	write(t, filepath.Join(second, "main.tf"), fmt.Sprintf(terraformMain, near, path))
	write(t, filepath.Join(second, "go"), "")
	run(t, first, env, program, "init", "-no-color", "-input=false")
	run(t, second, env, program, "init", "-no-color", "-input=false")
	var wg sync.WaitGroup
	apply := func(dir string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, "apply", "-no-color", "-input=false", "-auto-approve")
		cmd.Dir, cmd.Env = dir, append(plainEnv(), env...)
		return cmd
	}
	wg.Go(func() {
		if out, err := apply(first).CombinedOutput(); err != nil {
			t.Errorf("the one that has the lock: %v\n%s", err, out)
		}
	})
	defer wg.Wait()
	defer write(t, filepath.Join(first, "go"), "")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(first, "began")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("terraform does not apply")
		}
	}
	if out, err := apply(second).CombinedOutput(); err == nil || !strings.Contains(string(out), "Error acquiring the state lock") {
		t.Errorf("one that applies at the same time: %v\n%s", err, out)
	}
	write(t, filepath.Join(first, "go"), "")
	wg.Wait()
	if out := run(t, second, env, program, "apply", "-no-color", "-input=false", "-auto-approve"); !strings.Contains(out, "No changes") {
		t.Errorf("the other one does not find the state of the first:\n%s", out)
	}
	if got := ask(t, http.MethodGet, "http://"+near+"/v1/kv/"+path+"?raw", ""); !strings.Contains(got, `"terraform_version"`) {
		t.Errorf("the state is %.200q", got)
	}
}
