// Package checksums lists the SHA-256 of files, as sha256sum does.
package checksums

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// File is the name of the list.
const File = "SHA256SUMS"

// Sum is the SHA-256 of a file, in hexadecimal.
type Sum struct{ Name, SHA256 string }

// Of returns the sums of the files in dir except File, sorted by name.
func Of(dir string) ([]Sum, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	var sums []Sum
	for _, entry := range entries {
		if entry.Name() == File {
			continue
		}
		sum, err := ofFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		sums = append(sums, Sum{Name: entry.Name(), SHA256: sum})
	}
	return sums, nil
}

// Write writes the list of all files in dir.
func Write(dir string) error {
	sums, err := Of(dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, sum := range sums {
		fmt.Fprintf(&text, "%s  %s\n", sum.SHA256, sum.Name)
	}
	if err := os.WriteFile(filepath.Join(dir, File), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("write checksums: %w", err)
	}
	return nil
}

func ofFile(name string) (sum string, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("compute checksum: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("compute checksum of %s: %w", filepath.Base(name), err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
