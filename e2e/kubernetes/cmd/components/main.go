// Command components builds the programs of the clusters and prints their
// directory.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/meshway/meshway/e2e/kubernetes/components"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	binaries, err := components.Build(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "components:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, binaries.Dir)
}
