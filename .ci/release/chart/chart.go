// Package chart packs the Helm chart of a release.
package chart

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/meshway/meshway/release/archive"
	"github.com/meshway/meshway/release/source"
)

// Write writes the chart into output, with the version of the release, and with the
// repository and the digest of its image, so that no other image runs.
func Write(output string, src source.Source, repository, digest string) error {
	dir := filepath.Join(src.Dir, "deploy/chart/meshway")
	files, err := archive.Tree(dir, "meshway/")
	if err != nil {
		return err
	}
	for i := range files {
		var edits map[string]string
		switch files[i].Path {
		case "meshway/Chart.yaml":
			edits = map[string]string{`(?m)^version: .*$`: "version: " + src.Number(), `(?m)^appVersion: .*$`: "appVersion: " + src.Number()}
		case "meshway/values.yaml":
			edits = map[string]string{
				`(?m)^(image:\n(?:  .*\n)*?  repository:) .*$`: `${1} ` + repository,
				`(?m)^(image:\n(?:  .*\n)*?  digest:) ""$`:     `${1} "` + digest + `"`,
			}
		case "meshway/README.md":
			if files[i].Text, err = readme(files[i].Source, src); err != nil {
				return err
			}
			files[i].Source = ""
			continue
		default:
			continue
		}
		if files[i].Text, err = edit(files[i].Source, edits); err != nil {
			return err
		}
		files[i].Source = ""
	}
	return archive.Write(filepath.Join(output, "meshway-"+src.Number()+".tgz"), files, src.Time)
}

// readme returns the text of the README, whose links to other pages of the source tree
// are those of the release on GitHub.
func readme(file string, src source.Source) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read chart: %w", err)
	}
	return regexp.MustCompile(`\]\((\.\./[^)]+)\)`).ReplaceAllStringFunc(string(text), func(link string) string {
		target := path.Join("deploy/chart/meshway", link[len("]("):len(link)-1])
		return "](https://github.com/meshway/meshway/blob/" + src.Version + "/" + target + ")"
	}), nil
}

// edit returns the text of a file in which each pattern is replaced. A pattern that is
// not there once is an error: the chart would have the version of another release.
func edit(file string, edits map[string]string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read chart: %w", err)
	}
	for pattern, replacement := range edits {
		expression := regexp.MustCompile(pattern)
		if found := len(expression.FindAll(text, -1)); found != 1 {
			return "", fmt.Errorf("%s has %d places like %s, not one", file, found, pattern)
		}
		text = expression.ReplaceAll(text, []byte(replacement))
	}
	return string(text), nil
}
