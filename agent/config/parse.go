package config

import (
	_ "embed" // for the reference
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/meshway/meshway/agent/plaintext"
)

// maxSize is the maximum size of a file in bytes.
const maxSize = 256 << 10

// commandLine replaces the file name in messages if there is no file.
const commandLine = "command line"

// Env holds what a configuration depends on in addition to its text, so that Parse
// does not depend on the operating system.
type Env struct {
	Hostname  string    // for the default name of the gateway
	Overrides Overrides // from the command line; they override the file
	// Remembered returns the name that the gateway of a data directory has as a member,
	// which precedes the default; empty: it is no member. nil: nothing is remembered.
	Remembered func(dataDir, byDefault string) string
}

// Overrides are the keys that are also flags of meshd. An empty string keeps the
// value of the file.
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
		return Config{}, fmt.Errorf("%s: it is larger than %d bytes, the limit of a configuration", filename, maxSize)
	}
	if source, err = plaintext.Decode(source); err != nil {
		return Config{}, fmt.Errorf("%s: %w", filename, err)
	}
	var found faults
	var raw rawConfig
	decoder{file: filename, faults: &found}.document(source, &raw)
	if len(found.list) > 0 {
		// Values that were not decoded would be reported as missing, too.
		return Config{}, found.err()
	}
	raw.override(env.Overrides)
	v := validator{
		file:       filename,
		hostname:   env.Hostname,
		remembered: env.Remembered,
		faults:     &found,
	}
	c := v.config(raw)
	if len(found.list) > 0 {
		return Config{}, found.err()
	}
	return c, nil
}

// Load parses the file at path with the host name of the system. An empty path
// means no file: the configuration consists of overrides and defaults. remembered is
// Env.Remembered.
func Load(path string, overrides Overrides, remembered func(dataDir, byDefault string) string) (Config, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // Parse then requires the name of the gateway
	}
	env := Env{Hostname: hostname, Overrides: overrides, Remembered: remembered}
	if path == "" {
		return Parse(strings.NewReader(""), commandLine, env)
	}
	f, err := os.Open(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("open configuration: %w; write one that begins with \"datacenter: NAME\", or use --config with another file", err)
	}
	if err != nil {
		return Config{}, fmt.Errorf("open configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // read only: closing loses no data
	return Parse(f, path, env)
}

//go:embed reference.yaml
var reference string

// Reference returns the reference configuration, with the meaning and default of
// every key.
func Reference() string { return reference }
