// Package manual writes the manual pages of a program from its commands.
package manual

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/meshway/meshway/agent/build"
)

// Section is the section of the pages: commands of the system administrator.
const Section = "8"

// Command returns a hidden command of a program, for packaging, that writes a manual
// page for each command. All have the text exitStatus. The pages have the month of
// SOURCE_DATE_EPOCH (s since 1970), or of today, in UTC, so that they are the same in
// each time zone.
func Command(program, exitStatus string) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIRECTORY",
		Short:   "Save the manual pages in a directory",
		Example: "  " + program + " man man8",
		Hidden:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s needs the path of one directory, %d arguments given", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := dateOfSource()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("create directory of the manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // its text has the day on which the pages were written
			nameValues(root)
			header := &doc.GenManHeader{Section: Section, Date: &date, Source: "Meshway " + build.Current().Version, Manual: "Meshway"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			return addExitStatus(root, args[0], exitStatus)
		},
	}
}

// dateOfSource returns the time of SOURCE_DATE_EPOCH, or now, in UTC. It has the local
// time zone if doc.GenManTree reads it.
func dateOfSource() (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Now().UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q; it must be a number of seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// nameValues adds to the flags of cmd and of its subcommands which values they have. Help
// has them as the type, which manual pages leave out.
func nameValues(cmd *cobra.Command) {
	add := func(flag *pflag.Flag) {
		values := strings.ReplaceAll(flag.Value.Type(), "|", ", ")
		if values != flag.Value.Type() && !strings.HasSuffix(flag.Usage, values) {
			flag.Usage += "; one of " + values
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.PersistentFlags().VisitAll(add)
	for _, sub := range cmd.Commands() {
		nameValues(sub)
	}
}

// addExitStatus adds the section to the pages of cmd and of its subcommands in a directory.
func addExitStatus(cmd *cobra.Command, dir, text string) error {
	file := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+"."+Section)
	page, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a hidden command
	}
	if err != nil {
		return fmt.Errorf("read manual page: %w", err)
	}
	section := ".SH EXIT STATUS\n.EX\n" + strings.Trim(text, "\n") + "\n.EE\n\n"
	before, after, found := strings.Cut(string(page), ".SH SEE ALSO")
	if found {
		after = ".SH SEE ALSO" + after
	}
	if err := os.WriteFile(file, []byte(before+section+after), 0o644); err != nil {
		return fmt.Errorf("write manual page: %w", err)
	}
	for _, sub := range cmd.Commands() {
		if err := addExitStatus(sub, dir, text); err != nil {
			return err
		}
	}
	return nil
}
