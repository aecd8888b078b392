package images

import (
	"archive/tar"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// Image is an image with a single layer.
type Image struct {
	Name       string // with tag, for example "meshway.test/echo:1"
	Files      []File
	Entrypoint []string
	Env        []string // "KEY=value"
	User       string   // empty: root
}

// File is a file, a symbolic link, or a directory (a path that ends with "/").
// Parent directories need not be listed.
type File struct {
	Path   string      // absolute path in the image
	Source string      // file of the machine that is copied
	Text   string      // content if Source is empty
	Link   string      // target of a symbolic link
	Mode   os.FileMode // 0: 0755 for directories and copied files, 0644 for text
}

// Write writes an archive of images to w. Its bytes depend only on the input:
// files are sorted and have no times.
func Write(w io.Writer, images ...Image) error {
	archive := tar.NewWriter(w)
	var manifest []manifestEntry
	for _, image := range images {
		entry, err := writeImage(archive, image)
		if err != nil {
			return fmt.Errorf("write image %s: %w", image.Name, err)
		}
		manifest = append(manifest, entry)
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	return errors.Join(writeBytes(archive, "manifest.json", text), archive.Close())
}

// WriteFile writes an archive of images into a new file.
func WriteFile(name string, images ...Image) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("create archive: %w", err)
	}
	return errors.Join(Write(f, images...), f.Close())
}

// manifestEntry, config: https://github.com/moby/docker-image-spec (v1.2, v1.3).
type manifestEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type config struct {
	Architecture string        `json:"architecture"`
	OS           string        `json:"os"`
	Config       runtimeConfig `json:"config"`
	RootFS       rootFS        `json:"rootfs"`
}

type runtimeConfig struct {
	Entrypoint []string `json:",omitempty"`
	Env        []string `json:",omitempty"`
	User       string   `json:",omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

func writeImage(archive *tar.Writer, image Image) (manifestEntry, error) {
	// The layer is written twice, so that it is never in memory: the archive needs
	// its size first, and the configuration its digest.
	sum, size := sha256.New(), counter(0)
	if err := writeLayer(io.MultiWriter(sum, &size), image.Files); err != nil {
		return manifestEntry{}, err
	}
	text, err := json.Marshal(config{
		Architecture: runtime.GOARCH, OS: "linux",
		Config: runtimeConfig{Entrypoint: image.Entrypoint, Env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, image.Env...), User: image.User},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{"sha256:" + hex.EncodeToString(sum.Sum(nil))}},
	})
	if err != nil {
		return manifestEntry{}, fmt.Errorf("encode configuration: %w", err)
	}
	id := sha256.Sum256(text)
	name := hex.EncodeToString(id[:])
	entry := manifestEntry{Config: name + ".json", RepoTags: []string{image.Name}, Layers: []string{name + "/layer.tar"}}
	if err := writeBytes(archive, entry.Config, text); err != nil {
		return entry, err
	}
	if err := archive.WriteHeader(&tar.Header{Name: entry.Layers[0], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(size)}); err != nil {
		return entry, fmt.Errorf("write layer: %w", err)
	}
	return entry, writeLayer(archive, image.Files)
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func writeLayer(w io.Writer, files []File) error {
	layer := tar.NewWriter(w)
	byPath := make(map[string]File)
	for _, f := range files {
		if !path.IsAbs(f.Path) {
			return fmt.Errorf("add %q: the path must be absolute", f.Path)
		}
		for dir := path.Dir(path.Clean(f.Path)); dir != "/"; dir = path.Dir(dir) {
			if _, named := byPath[dir]; !named {
				byPath[dir] = File{Path: dir + "/"}
			}
		}
		byPath[path.Clean(f.Path)] = f
	}
	for _, name := range slices.Sorted(maps.Keys(byPath)) { // a directory sorts before what is in it
		if err := writeFile(layer, strings.TrimPrefix(name, "/"), byPath[name]); err != nil {
			return fmt.Errorf("add /%s: %w", name, err)
		}
	}
	return layer.Close()
}

func writeFile(layer *tar.Writer, name string, f File) error {
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: int64(cmp.Or(f.Mode, 0o644)), Size: int64(len(f.Text))}
	var content io.Reader = strings.NewReader(f.Text)
	switch {
	case strings.HasSuffix(f.Path, "/"):
		header.Name, header.Typeflag, header.Mode = name+"/", tar.TypeDir, int64(cmp.Or(f.Mode, 0o755))
	case f.Link != "":
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.Link, 0o777
	case f.Source != "":
		source, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer source.Close()
		info, err := source.Stat()
		if err != nil {
			return err
		}
		content, header.Size, header.Mode = source, info.Size(), int64(cmp.Or(f.Mode, 0o755))
	}
	if err := layer.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(layer, content)
	return err
}

func writeBytes(archive *tar.Writer, name string, content []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err := archive.Write(content)
	return err
}
