package fronts

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgehold/edgehold/integration/clients"
)

// serve runs workerd with a configuration that has a socket "http" until the test ends, and returns the URL of the socket.
func serve(t testing.TB, config string) (url string) {
	t.Helper()
	told, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "output")
	log, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(clients.Need(t, "workerd"), "serve", "--control-fd=3", "--socket-addr=http=127.0.0.1:0", config)
	cmd.Dir, cmd.Env, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = filepath.Dir(config), plainEnv(), []*os.File{tell}, log, log
	err = cmd.Start()
	_, _ = tell.Close(), log.Close() // the process has its own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		_ = told.Close()
		if b, _ := os.ReadFile(output); t.Failed() && len(b) > 0 {
			t.Logf("workerd: %s", b)
		}
	})
	_ = told.SetReadDeadline(time.Now().Add(30 * time.Second)) // a pipe has deadlines
	var event struct {
		Event, Socket string
		Port          int
	}
	line, err := bufio.NewReader(told).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &event)
	}
	if err != nil || event.Event != "listen" || event.Port == 0 {
		t.Fatalf("workerd does not listen: %v, %s", err, line)
	}
	return fmt.Sprint("http://127.0.0.1:", event.Port)
}
