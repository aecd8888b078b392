// Command image writes the agent's image, as a release builds it, as an archive of an OCI
// image layout:
//
//	go run ./chart/image meshway.tar
//	ctr -n k8s.io images import meshway.tar
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/meshway/meshway/e2e/kubernetes/chart"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: image ARCHIVE")
		os.Exit(2)
	}
	if err := write(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, archive string) (err error) {
	dir, err := os.MkdirTemp("", "meshway-image-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return chart.WriteImage(ctx, dir, archive)
}
