package history

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Damage changes one of the files of the log and of the snapshots of a member that is
// down, as a broken disk does, and returns what it did; empty: there is no such file.
func Damage(random *rand.Rand, dir string) (string, error) {
	return change(random, dir, one(random, []harm{tear, cut, flip, flip}))
}

// Tear is a Damage by a write of the log that was not acknowledged.
func Tear(random *rand.Rand, dir string) (string, error) {
	return change(random, dir, tear, "log/*.log")
}

// Flip is a Damage of one bit.
func Flip(random *rand.Rand, dir string) (string, error) { return change(random, dir, flip) }

// harm changes the content of a file, of which the first bytes are used.
type harm func(random *rand.Rand, data []byte, used int) (changed []byte, what string)

// change changes the newest file of one of the patterns, as those before it are not read;
// without a pattern, of all that a member has.
func change(random *rand.Rand, dir string, by harm, patterns ...string) (string, error) {
	if len(patterns) == 0 {
		patterns = []string{"log/*.log", "snapshots/*/state.bin", "snapshots/*/meta*"}
	}
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			files = append(files, found[len(found)-1])
		}
	}
	if len(files) == 0 {
		return "", nil
	}
	path := one(random, files)
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	used := len(bytes.TrimRight(data, "\x00")) // a segment ends with zeros
	if used == 0 {
		return "", nil
	}
	data, what := by(random, data, used)
	return path + ": " + what, os.WriteFile(path, data, 0o600)
}

func tear(random *rand.Rand, data []byte, used int) ([]byte, string) {
	if used == len(data) {
		return flip(random, data, used)
	}
	torn := data[used:min(len(data), used+1+random.IntN(300))]
	for i := range torn {
		torn[i] = byte(random.Uint32())
	}
	return data, fmt.Sprintf("a torn write of %d bytes at byte %d", len(torn), used)
}

func cut(random *rand.Rand, data []byte, used int) ([]byte, string) {
	data = data[:random.IntN(used)]
	return data, fmt.Sprintf("cut at byte %d", len(data))
}

func flip(random *rand.Rand, data []byte, used int) ([]byte, string) {
	at, bit := random.IntN(used), random.IntN(8)
	data[at] ^= 1 << bit
	return data, fmt.Sprintf("bit %d of byte %d changed", bit, at)
}
