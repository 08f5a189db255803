package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
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
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usagef("completion: unknown shell %q; choose one of %s", args[0], strings.Join(shells, ", "))
		},
	}
}
