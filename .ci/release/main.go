// Command release makes the files of a release:
//
//	release make -version v0.2.0 -output dist     all files
//	release verify -version v0.2.0                builds them twice and compares
//	release image -programs bin -output FILE      an archive of the image alone, for tests
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

	"github.com/meshway/meshway/release/image"
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
		return errors.New("name what to do: make, verify or image")
	}
	if args[0] == "image" {
		return writeImage(ctx, args[1:], log)
	}
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	flags.SetOutput(log)
	version := flags.String("version", "", "version of the release, such as v0.2.0")
	repository := flags.String("repository", ".", "`directory` of the repository")
	output := flags.String("output", "dist", "`directory` of the files; one of an earlier release is replaced")
	images := flags.String("image", image.Repository, "`repository` to which the image is pushed, with its registry")
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
	if err := errors.Join(source.CheckVersion(*version), image.CheckRepository(*images), source.CheckTools()); err != nil {
		return err
	}
	p := pipeline.Pipeline{Repository: *repository, Version: *version, Image: *images, Platforms: platforms, Log: log}
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
	return fmt.Errorf("unknown command %q: the commands are make, verify and image", args[0])
}

// writeImage writes the image of programs that are built, for the processor of this
// machine.
func writeImage(ctx context.Context, args []string, log io.Writer) error {
	flags := flag.NewFlagSet("release image", flag.ContinueOnError)
	flags.SetOutput(log)
	repository := flags.String("repository", ".", "`directory` of the repository")
	built := flags.String("programs", "bin", "`directory` of meshd and meshctl")
	output := flags.String("output", "", "`file` of the archive (required)")
	name := flags.String("name", image.Repository, "repository of the image")
	tag := flags.String("tag", "latest", "tag of the image")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *output == "" {
		return errors.New("-output is missing: name the file of the archive")
	}
	if err := image.CheckRepository(*name); err != nil {
		return err
	}
	if err := pipeline.WriteImage(ctx, *repository, *built, *output, *name, *tag); err != nil {
		return err
	}
	fmt.Fprintf(log, "%s has the image %s:%s\n", *output, *name, *tag)
	return nil
}
