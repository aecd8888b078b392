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
	var files []string
	for _, pattern := range []string{"log/*.log", "snapshots/*/state.bin", "snapshots/*/meta*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		if len(found) > 0 { // the newest, as those before it are not read
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
	what := ""
	switch n := random.IntN(4); {
	case n == 0 && used < len(data): // a write that was not acknowledged
		torn := data[used:min(len(data), used+1+random.IntN(300))]
		for i := range torn {
			torn[i] = byte(random.Uint32())
		}
		what = fmt.Sprintf("a torn write of %d bytes at byte %d", len(torn), used)
	case n == 1:
		data = data[:random.IntN(used)]
		what = fmt.Sprintf("cut at byte %d", len(data))
	default:
		at, bit := random.IntN(used), random.IntN(8)
		data[at] ^= 1 << bit
		what = fmt.Sprintf("bit %d of byte %d changed", bit, at)
	}
	return path + ": " + what, os.WriteFile(path, data, 0o600)
}
