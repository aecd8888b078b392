// Command release makes the files of a release:
//
//	release make -version v0.2.0 -output dist     all files
//	release verify -version v0.2.0                builds them twice and compares
//
// It reads the commit that is checked out in the directory of the flag -repository.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/meshway/meshway/release/pipeline"
	"github.com/meshway/meshway/release/programs"
	"github.com/meshway/meshway/release/source"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, log io.Writer) error {
	if len(args) == 0 {
		return errors.New("name what to do: make or verify")
	}
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	flags.SetOutput(log)
	version := flags.String("version", "", "version of the release, such as v0.2.0")
	repository := flags.String("repository", ".", "`directory` of the repository")
	output := flags.String("output", "dist", "`directory` of the files; one of an earlier release is replaced")
	list := flags.String("platforms", "", "comma-separated platforms such as linux/amd64 (default all)")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %s", strings.Join(flags.Args(), " "))
	}
	platforms, err := programs.ParsePlatforms(*list)
	if err != nil {
		return err
	}
	if err := errors.Join(source.CheckVersion(*version), source.CheckTools()); err != nil {
		return err
	}
	p := pipeline.Pipeline{Repository: *repository, Version: *version, Platforms: platforms, Log: log}
	switch args[0] {
	case "make":
		if err := source.CheckClean(ctx, *repository); err != nil {
			return err
		}
		absolute, err := filepath.Abs(*output)
		if err != nil {
			return fmt.Errorf("find directory of the files: %w", err)
		}
		return p.Make(ctx, absolute)
	case "verify":
		return p.Verify(ctx)
	}
	return fmt.Errorf("unknown command %q: the commands are make and verify", args[0])
}
