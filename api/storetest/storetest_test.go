package storetest_test

import (
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

func TestMemory(t *testing.T) {
	storetest.RunLister(t, func(*testing.T) storetest.ListStore { return storetest.NewMemory() })
}

// TestMemoryShared runs all cases on one Store with a prefix, as is done for Stores that are expensive to open.
func TestMemoryShared(t *testing.T) {
	shared := storetest.NewMemory()
	storetest.RunLister(t, func(*testing.T) storetest.ListStore { return shared }, storetest.Options{Prefix: "us-east/"})
}

func TestMemorySingleKey(t *testing.T) {
	storetest.Run(t, func(*testing.T) api.Store { return storetest.NewMemory() }, storetest.Options{SingleKey: true})
}
