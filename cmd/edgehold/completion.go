package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newCompletion(t *terminal) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes edgehold's commands and flags in a shell",
		Example: `  source <(edgehold completion bash)
  edgehold completion zsh > "${fpath[1]}/_edgehold"
  edgehold completion fish > ~/.config/fish/completions/edgehold.fish`,
		Args:                  wantArgs("the shell"),
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(t.out, true)
			case "zsh":
				return root.GenZshCompletion(t.out)
			case "fish":
				return root.GenFishCompletion(t.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(t.out)
			}
			return usagef("completion: unknown shell %q; choose one of %s", args[0], strings.Join(shells, ", "))
		},
	}
}
