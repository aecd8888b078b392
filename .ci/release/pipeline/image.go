package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/meshway/meshway/release/chart"
	"github.com/meshway/meshway/release/debian"
	"github.com/meshway/meshway/release/image"
	"github.com/meshway/meshway/release/programs"
	"github.com/meshway/meshway/release/source"
	"github.com/meshway/meshway/release/statement"
)

// fetchPackages fetches the packages of the image into the cache, since one that is gone
// is an error before the minutes of building.
func (p Pipeline) fetchPackages(ctx context.Context, src source.Source) error {
	var all []debian.Package
	cache := ""
	for _, platform := range p.Platforms {
		if platform.OS != "linux" {
			continue
		}
		options, err := imageOptions(src, platform, "")
		if err != nil {
			return err
		}
		packages, err := debian.List(options.Packages, platform.Arch)
		if err != nil {
			return err
		}
		all, cache = append(all, packages...), options.Cache
	}
	_, err := debian.FetchAll(ctx, all, cache)
	return err
}

// packImage writes the image of all processors with Linux, the chart with its digest,
// the bills of materials, and the provenance of all files.
func (p Pipeline) packImage(ctx context.Context, work workspace, src source.Source) error {
	images := map[string]v1.Image{}
	for _, platform := range p.Platforms {
		built := work.programs(platform)
		bill := func(program string, packages []debian.Package) error {
			b, err := statement.NewBill(filepath.Join(built, platform.File(program)), src)
			if err != nil {
				return err
			}
			b.Add(packages)
			return b.Write(filepath.Join(work.files, fmt.Sprintf("%s_%s_%s.cdx.json", program, src.Number(), platform)))
		}
		if err := bill("meshctl", nil); err != nil {
			return err
		}
		if platform.OS != "linux" {
			continue
		}
		options, err := imageOptions(src, platform, built)
		if err != nil {
			return err
		}
		packages, err := debian.List(options.Packages, platform.Arch)
		if err != nil {
			return err
		}
		if images[platform.Arch], err = image.Build(ctx, options); err != nil {
			return err
		}
		// The image has meshd and the packages.
		if err := bill("meshd", packages); err != nil {
			return err
		}
	}
	if len(images) == 0 {
		return statement.WriteProvenance(work.files, src, statement.Artefact{}, os.Getenv)
	}
	index := image.Index(images)
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("compute digest of the image: %w", err)
	}
	archive := filepath.Join(work.files, "meshway_"+src.Number()+"_image.tar")
	err = errors.Join(
		image.WriteArchive(archive, index, p.Image, src.Number()),
		chart.Write(work.files, src, p.Image, digest.String()),
	)
	if err != nil {
		return err
	}
	return statement.WriteProvenance(work.files, src, statement.Image(p.Image, digest.String()), os.Getenv)
}

func imageOptions(src source.Source, platform programs.Platform, built string) (image.Options, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return image.Options{}, fmt.Errorf("find cache: %w", err)
	}
	return image.Options{
		Arch: platform.Arch, Programs: built,
		Packages: filepath.Join(src.Dir, "deploy/image/packages"), Cache: filepath.Join(cache, "meshway", "debian"),
		Version: src.Number(), Commit: src.Commit, Time: src.Time,
	}, nil
}

// WriteImage writes an archive with the image of the programs in the directory built, for
// the processor of this machine, as a release has it.
func WriteImage(ctx context.Context, repository, built, output, name, tag string) error {
	host := programs.Platform{OS: "linux", Arch: runtime.GOARCH}
	options, err := imageOptions(source.Source{Dir: repository, Version: tag, Time: time.Unix(0, 0).UTC()}, host, built)
	if err != nil {
		return err
	}
	agent, err := image.Build(ctx, options)
	if err != nil {
		return err
	}
	return image.WriteArchive(output, image.Index(map[string]v1.Image{host.Arch: agent}), name, tag)
}
