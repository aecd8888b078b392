// Package image builds the container image of the agent: two static programs, nft with
// its libraries, and certificates of public authorities, but no shell and no package
// manager. To inspect a pod, use kubectl debug.
//
// It also has iptables-legacy-save and ip6tables-legacy-save, of the package iptables:
// nft does not list rules of iptables-legacy, and the libraries of nft have no program
// that does. They print a match only with its extension, and fail without one, so that
// all extensions are there: 0.3 MB, compressed. iptables-nft-save and ip6tables-nft-save
// print the matches of iptables that nft does not print. The commands that change rules are
// not there.
//
// The image runs as root: the files on the node belong to root, and the capabilities of
// a container (NET_ADMIN) are effective only for root, since no-new-privileges disables
// capabilities of program files. The pod restricts root to two capabilities, a read-only
// root file system and seccomp.
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/meshway/meshway/release/debian"
)

// Repository is the repository of the image: the default of the chart, to which
// .github/workflows/release.yml pushes in the repository of the project.
const Repository = "ghcr.io/meshway/meshway"

// CheckRepository returns an error unless name is the whole name of a repository.
func CheckRepository(repository string) error {
	if _, err := name.NewRepository(repository, name.StrictValidation); err != nil {
		return fmt.Errorf("IMAGE %q is no repository of images: name one with its registry, in lower case and without a tag, such as IMAGE=%s", repository, Repository)
	}
	return nil
}

// legacyProgram is what its name, such as iptables-legacy-save, makes of it.
const legacyProgram = "/usr/sbin/xtables-legacy-multi"

// savingProgram is the same for iptables-nft-save.
const savingProgram = "/usr/sbin/xtables-nft-multi"

// Options describe the image of one processor.
type Options struct {
	Arch     string
	Programs string // directory of meshd and meshctl
	Packages string // file of deploy/image/packages
	Cache    string // directory for packages of Debian
	Version  string // without "v"
	Commit   string
	Time     time.Time
}

// Build returns the image of one processor.
func Build(ctx context.Context, o Options) (v1.Image, error) {
	base, err := Base(ctx, o)
	if err != nil {
		return nil, err
	}
	programs := map[string]File{}
	for _, name := range []string{"meshd", "meshctl"} {
		content, err := os.ReadFile(filepath.Join(o.Programs, name))
		if err != nil {
			return nil, fmt.Errorf("read program: %w", err)
		}
		programs["/usr/bin/"+name] = File{Content: content}
	}
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	for _, files := range []map[string]File{base, programs} { // the base changes rarely
		layer, err := layer(files, o.Time)
		if err != nil {
			return nil, err
		}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: types.OCILayer}); err != nil {
			return nil, fmt.Errorf("add layer: %w", err)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", o.Arch, v1.Time{Time: o.Time}
	config.Config.Entrypoint = []string{"/usr/bin/meshd"}
	config.Config.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	config.Config.User = "0:0"
	config.Config.Labels = map[string]string{
		"org.opencontainers.image.title":    "Meshway",
		"org.opencontainers.image.source":   "https://github.com/meshway/meshway",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version":  o.Version,
		"org.opencontainers.image.revision": o.Commit,
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("set configuration: %w", err)
	}
	return image, nil
}

// File is a file of a layer, or a symbolic link. A directory has a path that ends with a
// slash.
type File struct {
	Content []byte
	Link    string
}

// Base returns the files of the image other than its programs, by absolute path.
func Base(ctx context.Context, o Options) (map[string]File, error) {
	packages, err := debian.List(o.Packages, o.Arch)
	if err != nil {
		return nil, err
	}
	contents, err := debian.FetchAll(ctx, packages, o.Cache)
	if err != nil {
		return nil, err
	}
	all := debian.Files{Content: map[string][]byte{}, Links: map[string]string{}}
	for i, content := range contents {
		if err := all.Add(content); err != nil {
			return nil, fmt.Errorf("%s: %w", packages[i].Name, err)
		}
	}
	programs, err := all.Programs(slices.Concat([]string{"/usr/sbin/nft", legacyProgram, savingProgram}, all.Extensions())...)
	if err != nil {
		return nil, err
	}
	certificates, err := all.Certificates()
	if err != nil {
		return nil, err
	}
	files := map[string]File{
		"/etc/ssl/certs/ca-certificates.crt": {Content: certificates},
		"/etc/passwd":                        {Content: []byte("root:x:0:0:root:/:/sbin/nologin\n")},
		"/run/":                              {},
		"/var/run":                           {Link: "/run"},
		"/tmp/":                              {},
		"/usr/sbin/iptables-legacy-save":     {Link: path.Base(legacyProgram)},
		"/usr/sbin/ip6tables-legacy-save":    {Link: path.Base(legacyProgram)},
		"/usr/sbin/iptables-nft-save":        {Link: path.Base(savingProgram)},
		"/usr/sbin/ip6tables-nft-save":       {Link: path.Base(savingProgram)},
	}
	for name, content := range programs {
		files[name] = File{Content: content}
	}
	return files, nil
}

// layer returns a layer whose bytes depend on the files and the time only.
func layer(files map[string]File, modified time.Time) (v1.Layer, error) {
	content := &bytes.Buffer{}
	archive := tar.NewWriter(content)
	directories := map[string]bool{}
	for name := range files {
		for dir := path.Dir(path.Clean(name)); dir != "/"; dir = path.Dir(dir) {
			directories[dir+"/"] = true
		}
	}
	for dir := range directories {
		files[dir] = File{}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) { // a directory sorts before what is in it
		file := files[name]
		header := &tar.Header{Name: name[1:], Typeflag: tar.TypeReg, Mode: mode(name), Size: int64(len(file.Content)), ModTime: modified}
		switch {
		case file.Link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, file.Link
		case name[len(name)-1] == '/':
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("add %s: %w", name, err)
		}
		if _, err := archive.Write(file.Content); err != nil {
			return nil, fmt.Errorf("add %s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil }
	built, err := tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("compress layer: %w", err)
	}
	return built, nil
}

func mode(name string) int64 {
	switch {
	case name == "/tmp/":
		return 0o1777
	case name[len(name)-1] == '/':
		return 0o755
	case path.Dir(name) == "/etc", path.Ext(name) == ".crt":
		return 0o644
	}
	return 0o755
}

// Index returns an index of the images of several processors, in the order of their
// names.
func Index(images map[string]v1.Image) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(maps.Keys(images)) {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        images[arch],
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index
}

// WriteArchive writes an index as an archive of an OCI image layout. The name is what
// containerd calls the image after ctr images import.
func WriteArchive(file string, index v1.ImageIndex, name, tag string) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), ".oci-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	written, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write image layout: %w", err)
	}
	annotations := map[string]string{"io.containerd.image.name": name + ":" + tag, "org.opencontainers.image.ref.name": tag}
	if err := written.AppendIndex(index, layout.WithAnnotations(annotations)); err != nil {
		return fmt.Errorf("write image layout: %w", err)
	}
	return writeTar(file, dir)
}

// writeTar writes the files of a directory, sorted.
func writeTar(file, dir string) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("create archive: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	var names []string
	err = filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list image layout: %w", err)
	}
	slices.SortFunc(names, cmp.Compare[string])
	archive := tar.NewWriter(out)
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read image layout: %w", err)
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return fmt.Errorf("read image layout: %w", err)
		}
		header := &tar.Header{Name: filepath.ToSlash(relative), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("write archive: %w", err)
		}
		if _, err := archive.Write(content); err != nil {
			return fmt.Errorf("write archive: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}
