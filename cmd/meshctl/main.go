package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := newApp(os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	a.name = displayName(os.Args[0])
	code := a.main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
