package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	module = "github.com/meshway/meshway/"
	root   = "../.."
)

// pkg is the output of go list for a package; paths in the module are relative to it.
type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	Deps       []string // of Imports, of theirs, and so on
}

// TestImportDirections holds the layers: pure packages at the bottom, each
// outside library behind the adapters that own it, binaries on top.
func TestImportDirections(t *testing.T) {
	packages := listPackages(t)

	t.Run("packages import only those below", func(t *testing.T) {
		for name, allowed := range map[string][]string{
			"consensus/catalog":            {"consensus/catalog/catalogpb"}, // records and commands: pure
			"consensus/catalog/overlay":    {"consensus/catalog"},
			"consensus/catalog/ranges":     {"consensus/catalog"},
			"consensus/catalog/sponsor":    {"consensus/catalog"},
			"consensus/catalog/quota":      {"consensus/catalog", "consensus/catalog/sponsor"},
			"consensus/catalog/budget":     {"consensus/catalog"},
			"consensus/catalog/allowlist":  {"consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/sponsor"},
			"consensus/catalog/jointoken":  {"consensus/catalog"},
			"consensus/catalog/entrycheck": {"consensus/catalog", "consensus/catalog/catalogpb"},
			"consensus/catalog/agreement": {
				"consensus/catalog", "consensus/catalog/allowlist", "consensus/catalog/budget", "consensus/catalog/catalogpb", "consensus/catalog/quota",
			},
			"consensus/catalog/succession":                {"consensus/catalog", "consensus/catalog/catalogpb"},
			"agent/rotation":                              {"agent/identity", "consensus/catalog", "consensus/catalog/agreement", "consensus/catalog/succession"},
			"consensus/catalog/snapshot":                  {"consensus/catalog", "consensus/catalog/catalogpb"},
			"consensus/catalog/replica/internal/envelope": {"consensus/catalog", "consensus/catalog/catalogpb"},
			"consensus/catalog/replica/internal/keys":     {},
			"consensus/catalog/replica/internal/table":    {"consensus/catalog/replica/internal/keys"},
			"consensus/catalog/replica": {
				"consensus/catalog", "consensus/catalog/agreement", "consensus/catalog/allowlist", "consensus/catalog/catalogpb", "consensus/catalog/jointoken", "consensus/catalog/overlay", "consensus/catalog/quota",
				"consensus/catalog/replica/internal/envelope", "consensus/catalog/replica/internal/keys", "consensus/catalog/replica/internal/table",
				"consensus/catalog/ranges", "consensus/catalog/snapshot", "consensus/catalog/sponsor", "consensus/catalog/succession",
			}, // the state: pure
			"consensus/sharedcall":                  {},
			"consensus/catalog/feed":                {"consensus/catalog", "consensus/catalog/replica"},
			"consensus":                             {"consensus/catalog", "consensus/catalog/catalogpb"}, // the contract; raftnode implements it
			"consensus/raftnode/logstore":           {},
			"consensus/raftnode/internal/disk":      {"consensus/catalog", "consensus/raftnode/logstore"},
			"consensus/raftnode/internal/fsm":       {"consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/feed", "consensus/catalog/quota", "consensus/catalog/replica"},
			"consensus/raftnode/internal/hclogger":  {},
			"consensus/raftnode/internal/quorum":    {"consensus", "consensus/catalog", "consensus/catalog/budget", "consensus/catalog/catalogpb", "consensus/catalog/sponsor"}, // the rules; raftnode judges and executes
			"consensus/raftnode/internal/history":   {"consensus", "consensus/catalog", "consensus/catalog/catalogpb"},
			"consensus/raftnode/internal/proposals": {"consensus", "consensus/catalog", "consensus/catalog/catalogpb"},
			"consensus/raftnode/internal/voting":    {"consensus/catalog"},
			"consensus/raftnode/internal/recovery":  {"consensus/catalog", "consensus/catalog/entrycheck", "consensus/catalog/replica", "consensus/raftnode/internal/disk", "consensus/raftnode/internal/fsm"},
			"consensus/raftnode/internal/transport": {"consensus", "consensus/catalog", "consensus/catalog/entrycheck"},
			"agent/config":                          {"agent/plaintext", "agent/suggest", "consensus/catalog", "consensus/catalog/allowlist"},
			"agent/plaintext":                       {},
			"agent/suggest":                         {},
			"tunnel/secret":                         {},
			"tunnel":                                {"tunnel/secret"}, // declares Device; adapters import it
			"agent/notify":                          {},
			"routes":                                {"routes/ruleset"}, // declares Kernel and Filter; adapters import it
			"routes/ruleset":                        {},
			"agent/interference":                    {"agent/config", "agent/plan", "agent/plan/prefixset", "consensus/catalog", "routes", "routes/ruleset", "tunnel"},
			"agent/plan":                            {"agent/config", "agent/plan/prefixset", "consensus/catalog", "routes", "tunnel"},
			"agent/plan/acceptance":                 {"agent/config", "agent/plan", "agent/plan/prefixset", "consensus/catalog", "consensus/catalog/allowlist", "routes", "tunnel"},
			"agent/plan/gatewayplan": {
				"agent/config", "agent/plan", "agent/plan/acceptance", "agent/plan/prefixset", "agent/plan/routing", "agent/plan/sighting", "agent/plan/tunnelend",
				"consensus/catalog", "consensus/catalog/allowlist", "routes", "tunnel",
			}, // the planners do not import each other
			"agent/plan/nodeplan": {
				"agent/plan", "agent/plan/acceptance", "agent/plan/prefixset", "agent/plan/routing", "agent/plan/tunnelend",
				"consensus/catalog", "routes", "tunnel",
			},
			"agent/plan/routing":   {"agent/plan", "agent/plan/acceptance", "agent/plan/prefixset", "routes", "tunnel"},
			"agent/plan/prefixset": {},
			"agent/plan/sighting":  {"consensus/catalog"},
			"agent/plan/tunnelend": {"agent/plan", "routes", "tunnel"},
			"agent/requirement":    {"agent/notify", "agent/plan", "agent/problemlog"},
			"agent/status":         {"agent/config", "agent/notify", "agent/plan", "agent/requirement", "consensus", "consensus/catalog", "routes", "tunnel"},
			"agent":                {}, // documentation
			"agent/state":          {},
			"agent/dataplane": {
				"agent/build", "agent/config", "agent/interference", "agent/notify", "agent/plan", "agent/plan/gatewayplan", "agent/plan/nodeplan", "agent/problemlog", "agent/requirement", "agent/status",
				"consensus", "consensus/catalog", "consensus/catalog/replica", "routes", "tunnel",
			}, // adapters come through its ports, from cmd/meshd
			"agent/registrar": {
				"agent/config", "agent/notify", "agent/plan", "agent/problemlog",
				"consensus", "consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/replica", "consensus/sharedcall",
			},
			"agent/member": {
				"agent/config", "agent/control", "agent/control/controlpb", "agent/identity", "agent/notify", "agent/rpc",
				"agent/state", "agent/trust",
				"consensus", "consensus/archive", "consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/feed",
				"consensus/catalog/replica", "consensus/catalog/sponsor", "consensus/catalog/succession", "consensus/raftnode",
			}, // decides nothing: no data plane, no status
			"agent/membership": {
				"agent/build", "agent/config", "agent/control", "agent/dataplane", "agent/identity", "agent/member",
				"agent/membership/internal/noaddress", "agent/membership/internal/noleader", "agent/membership/internal/recovery",
				"agent/membership/internal/refusals", "agent/membership/internal/refused", "agent/membership/internal/removal",
				"agent/notify", "agent/plan", "agent/plan/gatewayplan", "agent/problemlog", "agent/registrar", "agent/rotation", "agent/status", "agent/suggest",
				"consensus", "consensus/catalog", "consensus/catalog/allowlist", "consensus/catalog/catalogpb", "consensus/catalog/replica", "consensus/catalog/succession", "tunnel",
			}, // raft and RPC are inside agent/member
			"agent/membership/internal/noaddress": {"agent/config", "agent/plan", "consensus/catalog"},
			"agent/membership/internal/recovery":  {"consensus", "consensus/catalog"},
			"agent/membership/internal/refusals":  {"agent/identity", "consensus/catalog"},
			"agent/membership/internal/refused":   {"agent/plan", "consensus", "consensus/catalog"},
			"agent/membership/internal/removal":   {"agent/identity", "agent/member", "agent/plan", "consensus/catalog"},
			"agent/membership/internal/noleader":  {"agent/control", "agent/plan", "consensus", "consensus/catalog"},
			"agent/rpc":                           {"consensus/catalog", "consensus/catalog/catalogpb"},
			"agent/trust":                         {"agent/identity", "agent/notify", "agent/plan", "consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/replica", "consensus/catalog/succession"},
			// The calls of meshctl and those of other gateways are apart: neither
			// server imports the other.
			"agent/admin": {
				"agent/build", "agent/control/controlpb", "agent/control/controlpb/controlpbconnect", "agent/dataplane",
				"agent/identity", "agent/member", "agent/membership", "agent/notify", "agent/rpc", "agent/status",
				"consensus", "consensus/catalog", "consensus/catalog/allowlist", "consensus/catalog/catalogpb", "consensus/catalog/quota", "consensus/catalog/replica",
			},
			"agent/api": {
				"agent/api/access", "agent/api/apipb", "agent/api/apipb/apipbconnect", "agent/registrar", "agent/rpc",
				"consensus", "consensus/catalog", "consensus/catalog/feed", "consensus/catalog/replica",
			},
			"agent/api/apiclient":               {"agent/api/apipb", "agent/api/apipb/apipbconnect", "agent/rpc", "consensus/catalog", "tunnel/secret"},
			"agent/api/access":                  {"agent/api/apipb/apipbconnect", "agent/plaintext", "agent/rpc", "consensus/catalog"},
			"agent/admin/adminclient":           {"agent/control/controlpb/controlpbconnect", "agent/rpc"}, // part of meshctl
			"cmd/meshctl/internal/command":      {"agent/control/controlpb", "cmd/flagvalue", "cmd/meshctl/internal/fault", "cmd/nearest"},
			"cmd/meshctl/internal/corefile":     {},
			"cmd/meshctl/internal/coredns":      {"cmd/meshctl/internal/corefile", "cmd/meshctl/internal/fault"},
			"cmd/meshctl/internal/fault":        {"agent/admin/adminclient", "agent/rpc", "consensus/catalog"},
			"cmd/meshctl/internal/human":        {},
			"cmd/meshctl/internal/kubectl":      {"agent/admin/adminclient", "agent/control/controlpb/controlpbconnect", "cmd/meshctl/internal/fault"},
			"cmd/meshctl/internal/output":       {"cmd/meshctl/internal/fault"},
			"cmd/meshctl/internal/progress":     {"agent/control/controlpb", "cmd/meshctl/internal/fault", "cmd/meshctl/internal/human", "cmd/meshctl/internal/views"},
			"cmd/meshctl/internal/registration": {"cmd/meshctl/internal/fault", "consensus/catalog/catalogpb"},
			"cmd/meshctl/internal/retry":        {"agent/admin/adminclient", "agent/rpc", "cmd/meshctl/internal/fault", "consensus/catalog"},
			"cmd/meshctl/internal/snapshotfile": {"cmd/meshctl/internal/fault", "consensus/archive"},
			"cmd/meshctl/internal/render":       {"agent/plan", "agent/status", "cmd/meshctl/internal/human", "consensus/archive", "routes"},
			"cmd/meshctl/internal/stdio":        {"cmd/meshctl/internal/command", "cmd/meshctl/internal/kubectl"},
			"cmd/meshctl/internal/watch": {
				"agent/api/apiclient", "agent/api/apipb", "agent/control/controlpb", "cmd/meshctl/internal/command", "cmd/meshctl/internal/human",
				"cmd/meshctl/internal/output", "cmd/meshctl/internal/views", "consensus/catalog/catalogpb",
			},
			"cmd/meshctl/internal/views":       {"agent/build", "agent/control/controlpb", "agent/status", "cmd/meshctl/internal/human", "consensus/catalog/catalogpb"},
			"agent/build":                      {"consensus/catalog"},
			"agent/control/internal/connqueue": {},
			"agent/control/internal/limit":     {},
			"agent/control/sockets":            {"agent/control", "agent/portowner"},
			"agent/host":                       {"agent/plan", "consensus/catalog", "routes", "tunnel"},
			"agent/identity":                   {"consensus/catalog", "consensus/catalog/succession", "tunnel", "tunnel/secret"},
			"agent/liveness":                   {"agent/notify", "agent/plan", "agent/portowner", "tunnel"},
			"agent/pathmtu":                    {"agent/liveness", "agent/notify", "agent/plan", "consensus/catalog", "routes"},
			"agent/portowner":                  {},
			"agent/problemlog":                 {"agent/plan"},
			"agent/cluster": {
				"agent/dataplane", "agent/identity", "agent/kube", "agent/kube/inventory", "agent/kube/mcs", "agent/kube/mcs/controller", "agent/kube/meshnode",
				"agent/kube/property", "agent/member", "agent/membership", "agent/notify", "agent/plan", "agent/status", "consensus/catalog",
			},
			// The packages of the cluster have no membership: they act on plan.Reachability.
			"agent/kube":           {"agent/config", "agent/dataplane", "agent/identity", "agent/notify", "agent/plan", "agent/state", "consensus/catalog"},
			"agent/kube/election":  {},
			"agent/kube/inventory": {"agent/config", "agent/dataplane", "agent/kube", "agent/notify", "agent/plan", "agent/state", "consensus/catalog", "tunnel"},
			"agent/kube/mcs":       {"consensus/catalog", "consensus/catalog/batch", "consensus/catalog/catalogpb", "consensus/catalog/replica"},
			"agent/kube/mcs/controller": {
				"agent/kube/election", "agent/kube/mcs", "agent/kube/mcs/namespaces", "agent/notify", "agent/plan", "agent/status",
				"consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/feed", "consensus/catalog/replica",
			},
			"agent/kube/mcs/namespaces":       {"agent/kube/mcs", "agent/plan", "consensus/catalog", "consensus/catalog/replica"},
			"agent/kube/meshnode":             {"agent/dataplane", "agent/kube", "agent/notify", "agent/plan", "agent/plan/prefixset", "agent/state", "tunnel"},
			"agent/kube/property":             {"agent/kube", "agent/notify", "agent/plan", "agent/problemlog"},
			"cmd/flagvalue":                   {},
			"cmd/manual":                      {"agent/build"},
			"cmd/meshctl/internal/completion": {"agent/control/controlpb", "agent/control/controlpb/controlpbconnect", "cmd/meshctl/internal/views"},
			"cmd/meshctl/internal/limits":     {"agent/control/controlpb", "consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/quota", "consensus/catalog/sponsor"},
			"cmd/meshctl/internal/recovery":   {"agent/control/controlpb", "agent/control/controlpb/controlpbconnect", "cmd/meshctl/internal/fault", "cmd/meshctl/internal/human"},
			"consensus/archive":               {"consensus/catalog", "consensus/catalog/catalogpb", "consensus/catalog/replica", "consensus/catalog/snapshot"},
			"consensus/catalog/batch":         {"consensus/catalog", "consensus/catalog/catalogpb"},
			"consensus/raftnode": {
				"consensus", "consensus/archive", "consensus/catalog", "consensus/catalog/budget", "consensus/catalog/catalogpb", "consensus/catalog/entrycheck",
				"consensus/catalog/feed", "consensus/catalog/quota", "consensus/catalog/replica", "consensus/raftnode/internal/disk", "consensus/raftnode/internal/fsm",
				"consensus/raftnode/internal/hclogger", "consensus/raftnode/internal/history", "consensus/raftnode/internal/proposals",
				"consensus/raftnode/internal/quorum", "consensus/raftnode/internal/recovery", "consensus/raftnode/internal/transport", "consensus/raftnode/internal/voting", "consensus/sharedcall",
			}, // nothing of the agent
			"routes/kernel":    {"routes"},
			"routes/nft":       {"routes", "routes/ruleset"},
			"tunnel/device":    {"tunnel"},
			"tunnel/kernel":    {},
			"tunnel/userspace": {"tunnel/device"},
			"agent/control": {
				"agent/control/controlpb", "agent/control/internal/connqueue", "agent/control/internal/limit", "agent/control/internal/race", "agent/control/controlpb/controlpbconnect", "agent/identity", "agent/rpc",
				"agent/notify", "consensus/catalog", "consensus/catalog/catalogpb", "consensus/sharedcall",
			},
		} {
			for _, imported := range find(t, packages, name).Imports {
				if ours, ok := strings.CutPrefix(imported, module); ok {
					assert.Contains(t, allowed, ours, "%s imports %s", name, ours)
				}
			}
		}
	})

	t.Run("pure packages do no I/O and use no randomness", func(t *testing.T) {
		io := []string{"os", "os/exec", "net", "net/http", "syscall", "math/rand", "math/rand/v2"}
		for name, banned := range map[string][]string{
			"consensus/catalog":                  append(io, "crypto/rand", "log/slog"),
			"consensus/catalog/overlay":          append(io, "crypto/rand", "log/slog"),
			"consensus/catalog/quota":            append(io, "crypto/rand", "log/slog"),
			"consensus/catalog/replica":          append(io, "crypto/rand", "log/slog"),
			"consensus/catalog/snapshot":         append(io, "crypto/rand", "log/slog"),
			"consensus/catalog/entrycheck":       append(io, "crypto/rand", "log/slog"),
			"agent/interference":                 append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan":                         append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan/acceptance":              append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan/gatewayplan":             append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan/nodeplan":                append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan/prefixset":               append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan/routing":                 append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan/sighting":                append(io, "crypto/rand", "log/slog", "context"),
			"agent/plan/tunnelend":               append(io, "crypto/rand", "log/slog", "context"),
			"consensus/raftnode/internal/quorum": append(io, "crypto/rand", "log/slog", "context", "github.com/hashicorp/raft"),
			"tunnel/secret":                      append(io, "crypto/rand", "context"),
			"tunnel":                             io, // makes keys; hands the context to its Device
			"routes":                             io,
			"routes/ruleset":                     append(io, "context"),
		} {
			for _, b := range banned {
				assert.NotContains(t, find(t, packages, name).Imports, b, "%s must give the same result for the same input", name)
			}
		}
	})

	t.Run("libraries stay with their owners", func(t *testing.T) {
		for library, owners := range map[string][]string{
			"github.com/hashicorp/raft":      {"consensus/raftnode/"}, // and raft-boltdb, raft-autopilot
			"github.com/tidwall/btree":       {"consensus/catalog/replica/internal/table"},
			module + "consensus/raftnode":    {"agent/member", "cmd/meshd", "consensus/consensustest", "consensus/raftnode/", "e2e/"}, // all others use the contract
			"go.etcd.io/bbolt":               {"consensus/raftnode/internal/disk"},
			"github.com/vishvananda/netlink": {"tunnel/device", "tunnel/kernel", "tunnel/userspace", "routes/kernel", "agent/host", "e2e/harness"},
			"golang.zx2c4.com/wireguard":     {"tunnel/device", "tunnel/kernel", "tunnel/userspace"},
			"sigs.k8s.io/knftables":          {"routes/nft"},
			"github.com/prometheus":          {"agent/status"},
			"github.com/spf13/cobra":         {"cmd/meshd", "cmd/meshctl", "cmd/meshctl/internal/command", "cmd/meshctl/internal/stdio", "cmd/meshctl/internal/watch", "cmd/manual", "cmd/nearest", "cmd/commandtest"},
			"connectrpc.com/connect":         {"agent/admin", "agent/admin/adminclient", "agent/api", "agent/api/access", "agent/api/apiclient", "agent/api/apipb/apipbconnect", "agent/control", "agent/control/controlpb/controlpbconnect", "agent/member", "agent/rpc", "cmd/meshctl", "cmd/meshctl/internal/completion", "cmd/meshctl/internal/fault", "cmd/meshctl/internal/progress", "cmd/meshctl/internal/recovery", "cmd/meshctl/internal/retry"},
			"k8s.io/":                        {"agent/kube/"}, // the agent runs without Kubernetes too
		} {
			for _, p := range packages {
				if slices.ContainsFunc(p.Imports, hasPrefix(library)) {
					assert.True(t, owned(owners, p.ImportPath), "%s imports %s, not being one of %v", p.ImportPath, library, owners)
				}
			}
		}
	})

	t.Run("meshctl is small and runs anywhere", func(t *testing.T) {
		for _, banned := range []string{
			"github.com/hashicorp/raft", "go.etcd.io/bbolt", "github.com/vishvananda/netlink",
			"golang.zx2c4.com/wireguard", "sigs.k8s.io/knftables", "k8s.io/",
		} {
			at := slices.IndexFunc(find(t, packages, "cmd/meshctl").Deps, hasPrefix(banned))
			assert.Equal(t, -1, at, "meshctl depends on %s", banned)
		}
	})

	t.Run("what is for tests stays out of the product", func(t *testing.T) {
		for _, p := range packages {
			if isForTests(p.ImportPath) {
				continue
			}
			for _, imported := range p.Imports {
				ours, inModule := strings.CutPrefix(imported, module)
				assert.False(t, imported == "testing" || strings.HasPrefix(imported, "github.com/stretchr/") || inModule && isForTests(ours),
					"%s imports %s", p.ImportPath, imported)
			}
		}
	})
}

// isForTests reports whether a package of this module is only for tests: one whose
// name, or a folder of which, ends with "test", or one of e2e.
func isForTests(path string) bool {
	return strings.HasPrefix(path, "e2e/") ||
		slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return strings.HasSuffix(part, "test") })
}

func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range listPackages(t) {
		if generated := strings.HasSuffix(p.ImportPath, "pb") || strings.HasSuffix(p.ImportPath, "connect"); !generated {
			assert.NotEmpty(t, p.Doc, "%s has no package comment", p.ImportPath)
		}
	}
}

// TestDocumentsLinkTheGlossary checks that a reader of any document finds its terms.
func TestDocumentsLinkTheGlossary(t *testing.T) {
	for _, pattern := range []string{"README.md", ".github/CONTRIBUTING.md", "deploy/docs/*.md", "*/*/README.md", "*/*/*/README.md", "*/DESIGN.md", "*/*/DESIGN.md", "*/*/*/DESIGN.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Regexp(t, `glossary\]\([./a-z]*doc\.go\)|doc\.go\) has the glossary`, string(text), "%s links the glossary", path)
		}
	}
}

// TestLinksInDocumentsExist checks the relative links of all Markdown files.
func TestLinksInDocumentsExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(path), found[1]))
			assert.NoError(t, err, "%s links to it", path)
		}
		return nil
	})
	require.NoError(t, err)
}

// listPackages returns the module's packages for Linux.
func listPackages(t *testing.T) []pkg {
	t.Helper()
	packages, err := goList()
	require.NoError(t, err)
	return packages
}

var goList = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Doc,Imports,Deps", "./...")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var packages []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, err
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		packages = append(packages, p)
	}
})

func find(t *testing.T, packages []pkg, name string) pkg {
	t.Helper()
	at := slices.IndexFunc(packages, func(p pkg) bool { return p.ImportPath == name })
	require.NotEqual(t, -1, at, "there is no package %s", name)
	return packages[at]
}

// owned reports whether a package is in the list, or below a directory of it,
// which ends with a slash.
func owned(owners []string, name string) bool {
	return slices.ContainsFunc(owners, func(owner string) bool {
		return owner == name || strings.HasSuffix(owner, "/") && strings.HasPrefix(name+"/", owner)
	})
}

func hasPrefix(prefix string) func(string) bool {
	return func(s string) bool { return strings.HasPrefix(s, prefix) }
}
