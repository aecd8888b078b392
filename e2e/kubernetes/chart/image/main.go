// Command image writes the agent's image as an archive in the format of `docker
// save`:
//
//	go run ./chart/image meshway.tar
//	ctr -n k8s.io images import meshway.tar
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/meshway/meshway/e2e/kubernetes/chart"
	"github.com/meshway/meshway/e2e/kubernetes/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	name := flag.String("name", chart.AgentImage, "repository:tag of the image")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: image [-name REPOSITORY:TAG] ARCHIVE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(ctx, *name, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, name, archive string) (err error) {
	dir, err := os.MkdirTemp("", "meshway-image-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	image, err := chart.Image(ctx, name, dir)
	if err != nil {
		return err
	}
	return images.WriteFile(archive, image)
}
