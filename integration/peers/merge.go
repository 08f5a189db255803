package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/google/pprof/profile"
)

// mergeProfiles writes the sum of profiles to the file to, for the compiler: it has no name of a file or folder of this machine.
func mergeProfiles(args []string) error {
	if len(args) < 2 {
		return errors.New("merge FILE PROFILE...: a file to write, and profiles")
	}
	var all []*profile.Profile
	for _, name := range args[1:] {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		p, err := profile.ParseData(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, m := range p.Mapping {
			m.File, m.BuildID = "", ""
		}
		p.TimeNanos, p.Comments = 0, nil
		all = append(all, p)
	}
	sum, err := profile.Merge(all)
	if err != nil {
		return err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	return errors.Join(sum.Write(f), f.Close())
}
