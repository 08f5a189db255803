package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

// order is load for a process of its own: what it takes of the CPU is then counted apart from what the nodes take.
type order struct {
	URLs        []string
	Kind        string        // see newFlood
	Clients     int           // in a closed loop, or
	Rate        int           // so many requests a second, whatever comes back
	Warm, Lasts time.Duration // answers within Lasts after Warm are counted
}

const orderVariable = "OVERLOAD_ORDER"

// run has the load made by a process that spawn starts.
func (o order) run(t testing.TB, spawn func(*exec.Cmd) error) *tally {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run", "^TestOverloadLoad$", "-test.timeout", "2m")
	cmd.Env = append(plainEnv(), orderVariable+"="+string(text), "GOGC=400")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := spawn(cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	var came tally
	line, _, _ := bytes.Cut(out.Bytes(), []byte("\n"))
	if jsonErr := json.Unmarshal(line, &came); err != nil || jsonErr != nil {
		t.Fatalf("the load says no result: %v, %v\n%s%s", jsonErr, err, out.String(), errOut.String())
	}
	return &came
}

// TestOverloadLoad is the process of an order.
func TestOverloadLoad(t *testing.T) {
	text := os.Getenv(orderVariable)
	if text == "" {
		t.Skip("a part of BenchmarkOverload and TestOverload")
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	f, err := newFlood(o.Kind, o.Clients, o.URLs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	came, err := f.run(o.Kind, o.Clients, o.Rate, o.Warm, o.Lasts)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(came); err != nil {
		t.Fatal(err)
	}
}
