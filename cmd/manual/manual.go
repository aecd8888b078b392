// Package manual writes the manual pages of a program from its commands.
package manual

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/meshway/meshway/agent/build"
)

// Section is the section of the pages: commands of the system administrator.
const Section = "8"

// Command returns a hidden command of a program, for packaging, that writes a manual
// page for each command. The pages have the date of
// SOURCE_DATE_EPOCH, or of today.
func Command(program string) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIRECTORY",
		Short:   "Save the manual pages in a directory",
		Example: "  " + program + " man man8",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("create directory of the manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // its text has the day on which the pages were written
			header := &doc.GenManHeader{Section: Section, Source: "Meshway " + build.Current().Version, Manual: "Meshway"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			return nil
		},
	}
}
