// Package statement writes what a release states about its files: bills of materials
// (CycloneDX) and their provenance (SLSA, as an in-toto statement).
package statement

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/rs/zerolog"

	"github.com/meshway/meshway/release/checksums"
	"github.com/meshway/meshway/release/debian"
	"github.com/meshway/meshway/release/source"
)

// Bill is a bill of materials.
type Bill struct{ bom *cyclonedx.BOM }

// NewBill returns the bill of a Go program: its modules, and Go itself.
func NewBill(program string, src source.Source) (Bill, error) {
	generator, err := bin.NewGenerator(program, bin.WithIncludeStdlib(true), bin.WithLogger(zerolog.Nop()))
	if err != nil {
		return Bill{}, fmt.Errorf("read modules of %s: %w", program, err)
	}
	bom, err := generator.Generate()
	if err != nil {
		return Bill{}, fmt.Errorf("read modules of %s: %w", program, err)
	}
	bom.Metadata.Timestamp = src.Time.Format("2006-01-02T15:04:05Z")
	return Bill{bom}, nil
}

// Add adds packages of Debian.
func (b Bill) Add(packages []debian.Package) {
	for _, p := range packages {
		url := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", p.Name, p.Version, p.Arch)
		*b.bom.Components = append(*b.bom.Components, cyclonedx.Component{
			BOMRef: url, Type: cyclonedx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: url,
			Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: p.SHA256}},
		})
	}
}

// Write writes the bill into a file.
func (b Bill) Write(name string) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("create bill of materials: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := cyclonedx.NewBOMEncoder(file, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(b.bom); err != nil {
		return fmt.Errorf("write bill of materials: %w", err)
	}
	return nil
}

// ProvenanceFile is the name of the file of WriteProvenance.
const ProvenanceFile = "provenance.intoto.json"

// statement is an in-toto statement, version 1, with the predicate of SLSA, version 1:
// https://slsa.dev/spec/v1.0/provenance.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []Artefact `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

// Artefact is a file, an image or a source, with its digests.
type Artefact struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

type predicate struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   map[string]string `json:"externalParameters"`
	InternalParameters   map[string]string `json:"internalParameters"`
	ResolvedDependencies []Artefact        `json:"resolvedDependencies"`
}

type runDetails struct {
	Builder builder `json:"builder"`
}

type builder struct {
	ID string `json:"id"`
}

const repository = "https://github.com/meshway/meshway"

// localBuilder is the builder of a release outside of a workflow, which no service attests.
const localBuilder = "urn:meshway:builder:local"

// origin is where a release is built.
type origin struct {
	builder    string
	repository string // whose tag is built; empty: a commit of a clone, which may be in no other
}

// originOf returns the origin from the environment that GitHub sets in its workflows.
func originOf(getenv func(string) string) origin {
	server, workflow := getenv("GITHUB_SERVER_URL"), getenv("GITHUB_WORKFLOW_REF")
	if getenv("GITHUB_ACTIONS") != "true" || server == "" || workflow == "" {
		return origin{builder: localBuilder}
	}
	o := origin{builder: server + "/" + workflow}
	if getenv("GITHUB_REF_TYPE") == "tag" {
		o.repository = server + "/" + getenv("GITHUB_REPOSITORY")
	}
	return o
}

// source returns the source of a release.
func (o origin) source(src source.Source) Artefact {
	a := Artefact{Name: "source", Digest: map[string]string{"gitCommit": src.Commit}}
	if o.repository != "" {
		a = Artefact{URI: "git+" + o.repository + "@refs/tags/" + src.Version, Digest: a.Digest}
	}
	return a
}

// WriteProvenance writes how the files in dir were built, with their digests and that of
// an image. getenv returns variables of the environment. The statement has no times, so
// that a second build in the same place has the same bytes.
func WriteProvenance(dir string, src source.Source, image Artefact, getenv func(string) string) error {
	origin := originOf(getenv)
	sums, err := checksums.Of(dir)
	if err != nil {
		return err
	}
	var subjects []Artefact
	for _, sum := range sums {
		subjects = append(subjects, Artefact{Name: sum.Name, Digest: map[string]string{"sha256": sum.SHA256}})
	}
	if image.Name != "" {
		subjects = append(subjects, image)
	}
	text, err := json.MarshalIndent(statement{
		Type: "https://in-toto.io/Statement/v1", Subject: subjects, PredicateType: "https://slsa.dev/provenance/v1",
		Predicate: predicate{
			BuildDefinition: buildDefinition{
				BuildType:            repository + "/blob/main/Makefile#release",
				ExternalParameters:   map[string]string{"version": src.Version},
				InternalParameters:   map[string]string{"go": runtime.Version()},
				ResolvedDependencies: []Artefact{origin.source(src)},
			},
			RunDetails: runDetails{Builder: builder{ID: origin.builder}},
		},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode provenance: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ProvenanceFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write provenance: %w", err)
	}
	return nil
}

// Image returns an image as a subject of provenance; digest is "sha256:…".
func Image(name, digest string) Artefact {
	if name == "" {
		return Artefact{}
	}
	return Artefact{Name: name, Digest: map[string]string{"sha256": digest[len("sha256:"):]}}
}
