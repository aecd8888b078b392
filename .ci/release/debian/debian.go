// Package debian takes files from the packages of Debian that deploy/image/packages
// lists with their checksums.
package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/blakesmith/ar"
	"github.com/google/renameio/v2"
	"github.com/ulikunitz/xz"
)

// Package is a package of the list.
type Package struct{ Arch, Name, Version, SHA256, URL string }

// maxPackage is the greatest size of a package in bytes; the largest of the list has 3 MB.
const maxPackage = 64 << 20

// List reads the list of packages for a processor.
func List(file, arch string) ([]Package, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read list of packages: %w", err)
	}
	var packages []Package
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case len(fields) != 5:
			return nil, fmt.Errorf("%s: %q has not five columns", file, line)
		case fields[0] == arch:
			packages = append(packages, Package{Arch: arch, Name: fields[1], Version: fields[2], SHA256: fields[3], URL: fields[4]})
		}
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("%s has no package for %s", file, arch)
	}
	return packages, nil
}

// errGone is the error of a package that the mirror no longer has.
var errGone = errors.New("is gone from the mirror")

// FetchAll returns the contents of packages, from the directory cache where it has them.
// One error names all packages that the mirror no longer has: Debian keeps the newest
// version only.
func FetchAll(ctx context.Context, packages []Package, cache string) ([][]byte, error) {
	var contents [][]byte
	var gone []string
	for _, p := range packages {
		content, err := p.fetch(ctx, cache)
		switch {
		case errors.Is(err, errGone):
			gone = append(gone, fmt.Sprintf("%s %s (%s)", p.Name, p.Version, p.Arch))
		case err != nil:
			return nil, err
		}
		contents = append(contents, content)
	}
	if len(gone) > 0 {
		return nil, fmt.Errorf("the mirror of Debian no longer has %s, because newer versions replaced them: run deploy/image/update, which renews deploy/image/packages, and commit that file",
			strings.Join(gone, ", "))
	}
	return contents, nil
}

// fetch returns the content of a package, whose checksum is that of the list.
func (p Package) fetch(ctx context.Context, cache string) ([]byte, error) {
	file := filepath.Join(cache, p.SHA256+".deb")
	if content, err := os.ReadFile(file); err == nil && p.matches(content) {
		return content, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", p.Name, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", p.Name, err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s %w", p.URL, errGone)
	default:
		return nil, fmt.Errorf("download %s: %s: the mirror answered %s: try again later", p.Name, p.URL, response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxPackage))
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", p.Name, err)
	}
	if !p.matches(content) {
		return nil, fmt.Errorf("download %s: the mirror has another file at %s than deploy/image/packages, whose SHA-256 is %s: check the network for a proxy that changes files", p.Name, p.URL, p.SHA256)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("create cache: %w", err)
	}
	if err := renameio.WriteFile(file, content, 0o644); err != nil {
		return nil, fmt.Errorf("write cache: %w", err)
	}
	return content, nil
}

func (p Package) matches(content []byte) bool {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]) == p.SHA256
}

// Files are regular files by absolute path, and links with their target.
type Files struct {
	Content map[string][]byte
	Links   map[string]string
}

// Add adds the files of a package.
func (f Files) Add(deb []byte) error {
	members := ar.NewReader(bytes.NewReader(deb))
	for {
		header, err := members.Next()
		if err != nil {
			return fmt.Errorf("find files in package: %w", err)
		}
		var data io.Reader
		switch strings.TrimSuffix(header.Name, "/") {
		case "data.tar.xz":
			data, err = xz.NewReader(members)
		case "data.tar.gz":
			data, err = gzip.NewReader(members)
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("unpack package: %w", err)
		}
		return f.addTar(data)
	}
}

func (f Files) addTar(data io.Reader) error {
	reader := tar.NewReader(data)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read files of package: %w", err)
		}
		name := path.Clean("/" + header.Name)
		switch header.Typeflag {
		case tar.TypeReg:
			if f.Content[name], err = io.ReadAll(reader); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
		case tar.TypeSymlink:
			target := header.Linkname
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(name), target)
			}
			f.Links[name] = target
		}
	}
}

// read returns the content of a file, or of the target of a link.
func (f Files) read(name string) ([]byte, bool) {
	for range 10 { // more links are a circle
		if content, ok := f.Content[name]; ok {
			return content, true
		}
		target, ok := f.Links[name]
		if !ok {
			return nil, false
		}
		name = target
	}
	return nil, false
}
