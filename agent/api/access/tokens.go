package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/meshway/meshway/agent/plaintext"
)

// minToken is the least length of a token in bytes, so that it cannot be guessed.
const minToken = 32

// maxFile bounds the file of tokens in bytes.
const maxFile = 1 << 20

// Scope is what a token permits.
type Scope string

// The scopes.
const (
	Read  Scope = "read"
	Write Scope = "write" // includes Read
)

// Program is the owner of a token.
type Program struct {
	Name  string
	Scope Scope
	hash  [sha256.Size]byte // of the token, so that the comparison takes the same time for all
}

// Tokens are the tokens in a file, which is read again when it has changed.
type Tokens struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex // guards all following
	stamp    fs.FileInfo
	programs []Program
	err      error // why no token is valid
}

// NewTokens returns the tokens in the file at path. While it cannot be used, no token is
// valid.
func NewTokens(path string, log *slog.Logger) *Tokens {
	return &Tokens{path: path, log: log}
}

// Check returns why no token is valid; nil: those in the file are.
func (t *Tokens) Check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	return t.err
}

// Find returns the owner of a token, false if it is not valid.
func (t *Tokens) Find(token string) (Program, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	hash := sha256.Sum256([]byte(token))
	var found Program
	ok := 0
	for _, p := range t.programs {
		if subtle.ConstantTimeCompare(hash[:], p.hash[:]) == 1 {
			found, ok = p, 1
		}
	}
	return found, ok == 1
}

// refresh reads the file if it has changed; t.mu is held.
func (t *Tokens) refresh() {
	info, err := os.Stat(t.path)
	if err == nil && t.stamp != nil && os.SameFile(info, t.stamp) && info.ModTime().Equal(t.stamp.ModTime()) &&
		info.Size() == t.stamp.Size() && info.Mode() == t.stamp.Mode() {
		return
	}
	var programs []Program
	if err == nil {
		programs, info, err = readTokens(t.path)
	}
	if err != nil && (t.err == nil || t.err.Error() != err.Error()) {
		t.log.Warn("the tokens of the catalog cannot be used, so that all programs are refused", "err", err)
	}
	t.stamp, t.programs, t.err = info, programs, err
}

// readTokens reads a file that no other user can read or change.
func readTokens(path string) ([]Program, fs.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if err := checkMode(path, info); err != nil {
		return nil, info, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(text) > maxFile {
		return nil, info, fmt.Errorf("%s is larger than 1 MiB", path)
	}
	if text, err = plaintext.Decode(text); err != nil {
		return nil, info, fmt.Errorf("%s: %w", path, err)
	}
	programs, err := parse(path, text)
	return programs, info, err
}

func checkMode(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, so that other users can read or change it; run chmod 600 %s", path, mode, path)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, neither to root nor to the user of meshd; run chown root %s", path, owner.Uid, path)
	}
	return nil
}

// parse reads one program from each line. Its errors have no part of a token.
func parse(path string, text []byte) ([]Program, error) {
	var programs []Program
	names := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for line := 1; lines.Scan(); line++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		p, err := parseLine(fields)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if first := names[p.Name]; first > 0 {
			return nil, fmt.Errorf("%s:%d: the name is already in line %d; give each program its own", path, line, first)
		}
		names[p.Name] = line
		programs = append(programs, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(programs) == 0 {
		return nil, fmt.Errorf("%s has no token; write a line with a name, read or write, and a token", path)
	}
	return programs, nil
}

func parseLine(fields []string) (Program, error) {
	if len(fields) != 3 {
		return Program{}, errors.New("the line does not have three words: a name, read or write, and a token")
	}
	p := Program{Name: fields[0], Scope: Scope(fields[1]), hash: sha256.Sum256([]byte(fields[2]))}
	if p.Scope != Read && p.Scope != Write {
		return Program{}, errors.New("the second word is neither read nor write")
	}
	if len(fields[2]) < minToken {
		return Program{}, fmt.Errorf("the token is shorter than %d characters; create one with openssl rand -hex 32", minToken)
	}
	return p, nil
}
