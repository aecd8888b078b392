// Package krew writes the manifest of the plugin of kubectl for krew.
package krew

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/meshway/meshway/release/checksums"
	"github.com/meshway/meshway/release/source"
)

// File is the name of the manifest: that of the plugin.
const File = "meshway.yaml"

// platform is an archive of meshctl in the manifest.
type platform struct{ OS, Arch, Program, URL, SHA256 string }

// Write writes the manifest from its template, deploy/krew/meshway.yaml.tmpl, with the
// checksums of the archives of meshctl in dir.
func Write(dir string, src source.Source) error {
	text, err := os.ReadFile(filepath.Join(src.Dir, "deploy/krew/meshway.yaml.tmpl"))
	if err != nil {
		return fmt.Errorf("read template for krew: %w", err)
	}
	manifest, err := template.New(File).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return fmt.Errorf("read template for krew: %w", err)
	}
	sums, err := checksums.Of(dir)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	err = manifest.Execute(&out, map[string]any{"Version": src.Version, "Platforms": platforms(sums, src)})
	if err != nil {
		return fmt.Errorf("fill template for krew: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, File), out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write manifest for krew: %w", err)
	}
	return nil
}

func platforms(sums []checksums.Sum, src source.Source) []platform {
	var found []platform
	for _, sum := range sums {
		rest, ok := strings.CutPrefix(sum.Name, "meshctl_"+src.Number()+"_")
		name, extension, archive := strings.Cut(rest, ".")
		if !ok || !archive || extension != "tar.gz" && extension != "zip" {
			continue
		}
		system, arch, _ := strings.Cut(name, "_")
		program := "meshctl"
		if system == "windows" {
			program += ".exe"
		}
		found = append(found, platform{
			OS: system, Arch: arch, Program: program, SHA256: sum.SHA256,
			URL: "https://github.com/meshway/meshway/releases/download/" + src.Version + "/" + sum.Name,
		})
	}
	return found
}
