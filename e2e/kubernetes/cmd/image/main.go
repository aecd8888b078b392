// Command image makes a container image, without a registry or a builder,
// from programs of this machine:
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
	output := flags.String("o", "", "archive to write")
	flags.StringVar(&image.Name, "name", "", "name with tag")
	busybox := flags.Bool("busybox", false, "a root with Debian's busybox-static")
	programs := flags.String("programs", "", "programs of this machine, with their libraries, separated by commas")
	flags.Func("file", "SOURCE:PATH, a file of this machine and its place; again for more", func(value string) error {
		source, path, ok := strings.Cut(value, ":")
		if !ok {
			return errors.New("use SOURCE:PATH")
		}
		image.Files = append(image.Files, images.File{Path: path, Source: source})
		return nil
	})
	entrypoint := flags.String("entrypoint", "", "program and arguments, separated by spaces")
	flags.StringVar(&image.User, "user", "", "user or user:group, by number; default root")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if image.Name == "" || *output == "" {
		return errors.New("give -name and -o")
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
