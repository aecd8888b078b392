// Command image builds a container image from programs of this machine, without
// a registry or a builder:
//
//	go run ./cmd/image -name meshway.test/meshway:1 -o meshway.tar -busybox -programs nft \
//	    -file bin/meshd:/usr/bin/meshd -entrypoint /usr/bin/meshd
//	ctr -n k8s.io images import meshway.tar
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/meshway/meshway/e2e/kubernetes/images"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var image images.Image
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	output := flags.String("o", "", "archive to write (required)")
	flags.StringVar(&image.Name, "name", "", "name and tag of the image (required)")
	busybox := flags.Bool("busybox", false, "add Debian's busybox-static and links for its commands")
	programs := flags.String("programs", "", "comma-separated programs of this machine to add with their libraries")
	flags.Func("file", "`SOURCE:PATH`: file of this machine to add and its path in the image (repeatable)", func(value string) error {
		source, path, ok := strings.Cut(value, ":")
		if !ok {
			return errors.New("use SOURCE:PATH")
		}
		image.Files = append(image.Files, images.File{Path: path, Source: source})
		return nil
	})
	entrypoint := flags.String("entrypoint", "", "program and arguments, separated by spaces")
	flags.StringVar(&image.User, "user", "", "numeric user or user:group (default root)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if image.Name == "" || *output == "" {
		return errors.New("-name and -o are required")
	}
	image.Entrypoint = strings.Fields(*entrypoint)
	if *busybox {
		files, err := images.Busybox(ctx)
		if err != nil {
			return err
		}
		image.Files = append(files, image.Files...)
	}
	for _, name := range strings.FieldsFunc(*programs, func(r rune) bool { return r == ',' }) {
		files, err := images.Program(ctx, name)
		if err != nil {
			return err
		}
		image.Files = append(image.Files, files...)
	}
	return images.WriteFile(*output, image)
}
