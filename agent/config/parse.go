package config

import (
	_ "embed" // for the reference
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxSize bounds the file, bytes.
const maxSize = 256 << 10

// commandLine takes the place of the file's name when there is no file.
const commandLine = "command line"

// Env is what the configuration depends on besides its text, so that Parse
// itself asks the operating system nothing.
type Env struct {
	Hostname  string    // for the default name of the gateway
	Overrides Overrides // of the command line: they win over the file
}

// Overrides are the keys that meshd also takes as flags. An empty string
// leaves what the file says.
type Overrides struct {
	Datacenter    string // --datacenter
	Gateway       string // --gateway
	DataDir       string // --data-dir
	Listen        string // --listen: control.listen
	Dataplane     string // --dataplane: wireguard.dataplane
	NodeName      string // --node-name: kubernetes.nodeName
	TokenFile     string // --token-file: join.tokenFile
	Socket        string // --socket: admin.socket
	MetricsListen string // --metrics-listen: metrics.listen
	LogLevel      string // --log-level
	LogFormat     string // --log-format
}

// Parse reads and validates a configuration file. Errors name the file, line,
// column and key; several are joined, one line each.
func Parse(r io.Reader, filename string, env Env) (Config, error) {
	source, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return Config{}, fmt.Errorf("read %s: %w", filename, err)
	}
	if len(source) > maxSize {
		return Config{}, fmt.Errorf("%s: it is larger than %d bytes; this is no configuration of meshd", filename, maxSize)
	}
	var found faults
	var raw rawConfig
	decoder{file: filename, faults: &found}.document(source, &raw)
	if len(found.list) > 0 {
		// What was not understood is not given, and would be missed once more.
		return Config{}, found.err()
	}
	raw.override(env.Overrides)
	v := validator{file: filename, hostname: env.Hostname, faults: &found}
	c := v.config(raw)
	if len(found.list) > 0 {
		return Config{}, found.err()
	}
	return c, nil
}

// Load parses the file at path; the host name is the system's. An empty path
// means no file: the overrides and defaults must suffice.
func Load(path string, overrides Overrides) (Config, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // then the gateway's name must be given, and the error says so
	}
	env := Env{Hostname: hostname, Overrides: overrides}
	if path == "" {
		return Parse(eof{}, commandLine, env)
	}
	f, err := os.Open(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("open configuration: %w; write one that begins with \"datacenter: NAME\", or give another with --config", err)
	}
	if err != nil {
		return Config{}, fmt.Errorf("open configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // only read: there is nothing to lose
	return Parse(f, path, env)
}

// eof is an empty file.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

//go:embed reference.yaml
var reference string

// Reference returns the reference configuration: every key with its default and meaning.
func Reference() string { return reference }
