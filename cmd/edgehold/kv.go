package main

import (
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
)

func newKV(t *terminal, s *settings) *cobra.Command {
	return newGroup("kv", "Read and write single keys, and list them",
		newKVGet(t, s), newKVPut(t, s), newKVDel(t, s), newKVList(t, s))
}

// keyArg is the key that a user typed.
func keyArg(cmd *cobra.Command, text string) (api.Key, error) {
	if text == "" {
		return "", usagef("%s: the key is empty; a key has 1 to %d bytes", cmd.CommandPath(), api.MaxKeyBytes)
	}
	return api.Key(text), nil
}

// versionArg is the version that a user typed; "" is none.
func versionArg(flag, text string) (v api.Version, given bool, err error) {
	if text == "" {
		return api.Version{}, false, nil
	}
	if v, err = api.ParseVersion(text); err != nil {
		return v, false, usagef("--%s: %s", flag, api.AsError(err).Hint)
	}
	return v, true, nil
}

// printWrite tells the version that a write made: alone on a line, for scripts, or as the body of the HTTP API.
func printWrite(t *terminal, s *settings, key api.Key, v api.Version) error {
	asJSON, err := s.json()
	if err != nil || asJSON {
		return printJSON(t.out, err, newRecord(api.Entry{Key: key, Version: v}, true))
	}
	_, err = t.out.Write([]byte(v.String() + "\n"))
	return err
}
