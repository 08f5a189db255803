package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
)

// credential returns the token, or the file with it, that the settings name: --token TOKEN, --token @FILE or --token-file FILE.
func (s *settings) credential(warn io.Writer) (token api.Secret, file string, err error) {
	file = s.tokenFile
	if at, ok := strings.CutPrefix(s.token.Reveal(), "@"); ok {
		if file != "" {
			return "", "", usagef("--token and --token-file both name a file: give one of them")
		}
		file = at
	} else if s.token != "" && file != "" {
		return "", "", usagef("--token and --token-file: give one of them")
	} else {
		token = s.token
	}
	if file != "" {
		if err := checkSecretFile(file, warn); err != nil {
			return "", "", err
		}
	}
	return token, file, nil
}

// checkSecretFile refuses a file with a secret that other users may read. On a read-only file system, where nothing can be done about
// it, it warns.
func checkSecretFile(file string, warn io.Writer) error {
	info, err := os.Stat(file)
	if err != nil {
		return usagef("the token file: %v", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	text := fmt.Sprintf("other users may read the token in %s: chmod 600 %s", file, file)
	if f, err := os.OpenFile(file, os.O_WRONLY, 0); errors.Is(err, syscall.EROFS) {
		_, _ = fmt.Fprintln(warn, "edgehold: warning: "+text)
		return nil
	} else if err == nil {
		_ = f.Close()
	}
	return errors.New(text)
}

// warnOfLiteral warns of a token on the command line, which every user of the machine can see in the list of processes.
func warnOfLiteral(cmd *cobra.Command) {
	f := cmd.Flags().Lookup("token")
	if f == nil || !f.Changed || f.Value.String() == "" || strings.HasPrefix(f.Value.String(), "@") {
		return
	}
	_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "edgehold: warning: other users of this machine can see --token; give it by --token @FILE, --token-file or EDGEHOLD_TOKEN")
}
