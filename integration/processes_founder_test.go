package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testFounderWiped: the server that founded the cluster loses its folder and is started again by the same command. It founds no
// second cluster, says so, and passes requests on to the one that is there.
func testFounderWiped(t *testing.T, binary string) {
	f := newFleet(t, binary)
	at := []string{freeAddress(t), freeAddress(t), freeAddress(t)}
	s1 := f.node(t, "server", "s1", "r", []string{"--listen", at[0], "--bootstrap", "--join", strings.Join(at[1:], ",")})
	eventually(t, time.Minute, "the founder names the nodes it waits for", func() bool {
		return strings.Contains(string(s1.logTail()), at[2]+" has not answered")
	})
	s2 := f.node(t, "server", "s2", "r", []string{"--listen", at[1], "--join", at[0]})
	s3 := f.node(t, "server", "s3", "r", []string{"--listen", at[2], "--join", at[0]})
	ready(t, s1, s2, s3)
	mustPut(t, s2, "kept", "as it was")

	s1.kill()
	if err := os.RemoveAll(filepath.Join(f.dir, "s1")); err != nil {
		t.Fatal(err)
	}
	s1.start(t)
	eventually(t, time.Minute, "the wiped founder is refused in words", func() bool {
		return strings.Contains(string(s1.logTail()), "the cluster knows a node s1, but this data folder is new")
	})
	for _, d := range []*daemon{s1, s2, s3} {
		eventually(t, time.Minute, "the old key is read through "+d.name, func() bool {
			r := d.get("/v1/kv/kept")
			if r.status == http.StatusNotFound {
				t.Fatalf("%s does not have the old key", d.name)
			}
			return r.status == http.StatusOK && r.body == "as it was"
		})
	}
	if r := s1.get("/readyz"); r.status == http.StatusOK {
		t.Error("the wiped founder says that it is ready")
	}
	f.stop(t)
}
