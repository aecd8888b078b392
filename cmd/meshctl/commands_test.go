package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/commandtest"
	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// joinSteps is the progress of a successful join.
func joinSteps() []*controlpb.Progress {
	return []*controlpb.Progress{
		{Step: "prove-pin", Message: "verified east/gw1 by the pin in the token"},
		{Step: "admitted", Message: "admitted to federation prod as west"},
		{Step: "done", Message: "joined", Done: true},
	}
}

// eachCommand calls do with every command of the tree, also the hidden ones.
func eachCommand(do func(root, cmd *cobra.Command)) {
	root := newRootCommand(newApp(func(string) string { return "" }, nil, nil, nil))
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		do(root, cmd)
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
}

func TestEveryCommandHasAnExampleAndAGroup(t *testing.T) {
	eachCommand(func(root, cmd *cobra.Command) {
		if !cmd.Runnable() {
			return
		}
		assert.NotEmpty(t, cmd.Example, cmd.CommandPath())
		if cmd.Parent() == root {
			assert.NotEmpty(t, cmd.GroupID, cmd.Name())
		}
	})
}

func TestShortHelpIsAnImperativeSentenceWithoutPeriod(t *testing.T) {
	verbs := []string{
		"Allow", "Configure", "Connect", "Create", "Deregister", "Explain", "Inspect", "Join", "List", "Move", "Operate", "Print",
		"Recover", "Register", "Remove", "Replace", "Return", "Revoke", "Save", "Show", "Transfer", "Verify",
	}
	eachCommand(func(_, cmd *cobra.Command) {
		verb, _, _ := strings.Cut(cmd.Short, " ")
		assert.Contains(t, verbs, strings.TrimSuffix(verb, ","), "%s: %s", cmd.CommandPath(), cmd.Short)
		assert.False(t, strings.HasSuffix(cmd.Short, "."), cmd.CommandPath())
	})
}

func TestHelpFitsIn80Columns(t *testing.T) {
	commandtest.CheckWidth(t, func() *cobra.Command { return newRootCommand(newApp(func(string) string { return "" }, nil, nil, nil)) })
}

func TestFlagsReachMeshd(t *testing.T) {
	stale := controlpb.ReadMode_READ_MODE_STALE
	for line, want := range map[string]proto.Message{
		"init --name prod --overlay fd00::/48": &controlpb.InitFederationRequest{Name: "prod", Overlay: "fd00::/48"},
		"init":                                 &controlpb.InitFederationRequest{Name: "meshway"},
		"token create --datacenter west --ttl 15m": &controlpb.CreateTokenRequest{Datacenter: "west", Ttl: durationpb.New(15 * 60e9)},
		"token revoke 7kq2m4":                      &controlpb.RevokeTokenRequest{Id: "7kq2m4"},
		"events":                                   &controlpb.ListEventsRequest{Limit: 100},
		"events --author west --limit 20":          &controlpb.ListEventsRequest{Author: "west", Limit: 20},
		"federation allow 203.0.113.0/24 fd00::/8": &controlpb.AllowPrefixesRequest{Cidrs: []string{"203.0.113.0/24", "fd00::/8"}},
		"federation allow --remove 203.0.113.0/24": &controlpb.AllowPrefixesRequest{Removed: []string{"203.0.113.0/24"}},
		"federation allow":                         &controlpb.AllowPrefixesRequest{},
		"federation limits":                        &controlpb.SetLimitsRequest{},
		"federation limits --memory 96 --services 20000 --exports 0": &controlpb.SetLimitsRequest{Limits: []*catalogpb.Limit{
			{Resource: "services", Most: 20_000}, {Resource: "exports"}, {Resource: "memory", Most: 96 << 20},
		}},
		"init --allow 198.18.0.0/15":           &controlpb.InitFederationRequest{Name: "meshway", Allow: []string{"198.18.0.0/15"}},
		"ca rotate --dry-run":                  &controlpb.RotateCARequest{DryRun: true},
		"ca rotate --yes --again":              &controlpb.RotateCARequest{Again: true},
		"token list":                           &controlpb.ListTokensRequest{Mode: controlpb.ReadMode_READ_MODE_LEASE},
		"drain":                                &controlpb.DrainRequest{},
		"drain --force --for 10m --wait 5s":    &controlpb.DrainRequest{Force: true, For: durationpb.New(10 * time.Minute), Bound: durationpb.New(5 * time.Second)},
		"undrain":                              &controlpb.UndrainRequest{},
		"leave --yes --force":                  &controlpb.LeaveRequest{Force: true},
		"datacenter remove west --yes":         &controlpb.RemoveDatacenterRequest{Datacenter: "west"},
		"datacenter remove west --yes --force": &controlpb.RemoveDatacenterRequest{Datacenter: "west", Force: true},
		"routes 10.0.0.1":                      &controlpb.RoutesRequest{Destination: "10.0.0.1"},
		"services web --namespace n --datacenter d --read stale": &controlpb.ListServicesRequest{Name: "web", Namespace: "n", Datacenter: "d", Mode: stale},
		"services --read consistent":                             &controlpb.ListServicesRequest{Mode: controlpb.ReadMode_READ_MODE_CONSISTENT},
		"service deregister web --instance b":                    &controlpb.DeregisterServiceRequest{Name: "web", Namespace: "default", Instance: "b"},
		"snapshot save - --read stale":                           &controlpb.SaveSnapshotRequest{Mode: stale},
		"raft transfer-leader west/gw1":                          &controlpb.OperateRequest{Operation: &controlpb.OperateRequest_TransferLeader{TransferLeader: &controlpb.TransferLeader{To: "west/gw1"}}},
		"raft remove-peer west/gw1 --yes":                        &controlpb.OperateRequest{Operation: &controlpb.OperateRequest_RemovePeer{RemovePeer: &controlpb.RemovePeer{Id: "west/gw1"}}},
		"service register web --address 10.1.0.5 --port http:80/tcp --port 53/udp --port 81 --namespace n --instance a --label k=v": &controlpb.RegisterServiceRequest{Service: &catalogpb.Service{
			Name: "web", Namespace: "n", Instance: "a", Address: "10.1.0.5", Labels: map[string]string{"k": "v"},
			Ports: []*catalogpb.Port{{Name: "http", Protocol: "tcp", Number: 80}, {Protocol: "udp", Number: 53}, {Protocol: "tcp", Number: 81}},
		}},
	} {
		o := &fakeMeshd{steps: joinSteps(), removed: 1, report: routesReport()}
		r := meshctl(t, o, strings.Fields(line)...)
		require.Equal(t, fault.ExitOK, r.code, "%s: %s", line, r.err)
		require.Len(t, o.requests, 1, line)
		assert.True(t, proto.Equal(want, o.requests[0]), "%s: %v", line, o.requests[0])
	}
}

func TestTokenCreatePrintsOnlyTheTokenToStdout(t *testing.T) {
	r := meshctl(t, &fakeMeshd{}, "token", "create")
	assert.Equal(t, secretToken+"\n", r.out)
	assert.NotContains(t, r.err, secretToken)
	assert.Contains(t, r.err, "one use")
	assert.Contains(t, r.err, "meshctl join")
}

func TestTokenIsReadFromArgumentStdinOrFileAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(secretToken+"\n"), 0o600))
	for _, args := range [][]string{{secretToken}, {"-"}, {"--token-file", file}} {
		for _, o := range []*fakeMeshd{{steps: joinSteps()}, {err: refused()}} {
			r := meshctlWithInput(t, o, "  "+secretToken+"\n\n", append([]string{"join"}, args...)...)
			require.Len(t, o.requests, 1, r.err)
			assert.Equal(t, secretToken, o.requests[0].(*controlpb.JoinFederationRequest).GetToken())
			assert.NotContains(t, r.out+r.err, secretToken)
		}
	}
	for _, args := range [][]string{{secretToken, secretToken}, {secretToken, "--token-file", file}, {secretToken, "--bogus"}} {
		r := meshctl(t, &fakeMeshd{}, append([]string{"join"}, args...)...)
		assert.Equal(t, fault.ExitUsage, r.code)
		assert.NotContains(t, r.out+r.err, secretToken)
	}
}

func TestJoinShowsPlainStepsAndTheNextCommandOnStderr(t *testing.T) {
	r := meshctl(t, &fakeMeshd{steps: joinSteps()}, "join", "token")
	assert.Empty(t, r.out)
	golden(t, "join", r.err)
}

func TestJoinThatStopsEarlyFails(t *testing.T) {
	r := meshctl(t, &fakeMeshd{steps: joinSteps()[:1]}, "join", "token")
	assert.Equal(t, fault.ExitFailure, r.code)
	assert.Contains(t, r.err, "stopped before the operation was done")
}

func TestHintsNameTheNextStep(t *testing.T) {
	assert.Contains(t, meshctl(t, &fakeMeshd{}, "init").err, "meshctl token create")
	assert.Contains(t, meshctl(t, &fakeMeshd{steps: joinSteps()}, "join", "x").err, "meshctl status")
	assert.Contains(t, meshctl(t, &fakeMeshd{services: services()}, "services", "--read", "stale").err, "from the local copy at index 1207")
}

func TestQueuedWriteIsReported(t *testing.T) {
	r := meshctl(t, &fakeMeshd{queued: true}, "service", "register", "web", "--address", "10.1.0.5", "--port", "80")
	assert.Equal(t, fault.ExitOK, r.code)
	assert.Contains(t, r.out, "is queued on this gateway: there is no leader now")
	assert.Contains(t, meshctl(t, &fakeMeshd{queued: true}, "service", "deregister", "web").out, "it is done when one is elected")
}

func TestSavedSnapshotIsCompleteAndPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backup.snap")
	require.NoError(t, os.WriteFile(file, []byte("an older one"), 0o644))
	r := meshctl(t, &fakeMeshd{}, "snapshot", "save", file)
	require.Equal(t, fault.ExitOK, r.code, r.err)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "archive\x00", string(content))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no temporary file remains")
}

func TestSnapshotOnStdoutIsOnlyTheArchive(t *testing.T) {
	assert.Equal(t, "archive\x00", meshctl(t, &fakeMeshd{}, "snapshot", "save", "-").out)
}

func TestDestructiveCommandsNeedConfirmation(t *testing.T) {
	file, content := savedCatalog(t)
	for _, args := range [][]string{
		{"leave"},
		{"datacenter", "remove", "west"},
		{"snapshot", "restore", file},
		{"raft", "remove-peer", "west/gw1"},
		{"raft", "recover", "--data-dir", t.TempDir(), "--peer", "east/gw1", "--meshd", "/bin/false"},
	} {
		o := &fakeMeshd{}
		r := meshctl(t, o, args...)
		assert.Equal(t, fault.ExitUsage, r.code, args)
		assert.Contains(t, r.err, "add --yes", args)
		assert.Empty(t, o.requests, args)
	}
	o := &fakeMeshd{}
	assert.Equal(t, fault.ExitOK, meshctl(t, o, "snapshot", "restore", file, "--yes").code)
	assert.Equal(t, content, o.requests[1].(*controlpb.RestoreRequest).GetArchive())
	assert.False(t, o.requests[1].(*controlpb.RestoreRequest).GetAcceptUnsigned())
	o = &fakeMeshd{}
	assert.Equal(t, fault.ExitOK, meshctl(t, o, "snapshot", "restore", file, "--yes", "--accept-unsigned").code)
	assert.True(t, o.requests[0].(*controlpb.PlanRestoreRequest).GetAcceptUnsigned())
	assert.True(t, o.requests[1].(*controlpb.RestoreRequest).GetAcceptUnsigned())
}

func TestRestorePrintsWhatChangesFirst(t *testing.T) {
	file, _ := savedCatalog(t)
	const change = "datacenter west: is removed: it is not in the snapshot, and has to join again\n"
	o := &fakeMeshd{}
	r := meshctl(t, o, "snapshot", "restore", file, "--dry-run")
	assert.Equal(t, fault.ExitOK, r.code)
	assert.Equal(t, change, r.out)
	assert.Len(t, o.requests, 1, "nothing is restored")
	assert.IsType(t, &controlpb.PlanRestoreRequest{}, o.requests[0])
	r = meshctl(t, &fakeMeshd{}, "snapshot", "restore", file, "--yes")
	assert.Contains(t, r.err, change)
}

// savedCatalog writes a snapshot file of an empty catalog.
func savedCatalog(t *testing.T) (file string, content []byte) {
	t.Helper()
	content, _, err := archive.Pack(archive.Info{Term: 4, Gateway: "east/gw1", SavedAt: before(2 * time.Hour)}, replica.New().View(), nil)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "backup.snap")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	return file, content
}

func TestInspectShowsASnapshotWithoutMeshd(t *testing.T) {
	file, content := savedCatalog(t)
	none := func(string) string { return "" }
	r := runAt(t.Context(), none, "", "snapshot", "inspect", file)
	require.Equal(t, fault.ExitOK, r.code, r.err)
	for _, want := range []string{"index       0, term 4\n", "saved       2 h ago by east/gw1\n", "0 datacenters, 0 gateways, 0 services\n", "complete and unaltered\n"} {
		assert.Contains(t, r.out, want)
	}
	want, err := archive.Inspect(content)
	require.NoError(t, err)
	var got archive.Info
	require.NoError(t, json.Unmarshal([]byte(runAt(t.Context(), none, "", "snapshot", "inspect", file, "-o", "json").out), &got))
	assert.Equal(t, want, got)
}

func TestAlteredSnapshotIsNotRestored(t *testing.T) {
	file, content := savedCatalog(t)
	for name, bad := range map[string][]byte{"truncated": content[:len(content)-9], "another format": []byte("archive"), "empty": nil} {
		require.NoError(t, os.WriteFile(file, bad, 0o600))
		o := &fakeMeshd{}
		for _, args := range [][]string{{"snapshot", "inspect", file}, {"snapshot", "restore", file, "--yes"}} {
			r := meshctl(t, o, args...)
			assert.Equal(t, fault.ExitFailure, r.code, name)
			assert.Contains(t, r.err, "not a valid catalog snapshot", name)
			assert.Contains(t, r.err, "remedy: ", name)
		}
		assert.Empty(t, o.requests, name)
	}
}

func TestFileThatIsLargerThanASnapshotIsNotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.snap")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, 1<<40)) // takes no space
	o := &fakeMeshd{}
	r := meshctl(t, o, "snapshot", "restore", file, "--yes")
	assert.Equal(t, fault.ExitFailure, r.code)
	assert.Contains(t, r.err, "large.snap has 1099511627776 bytes, a snapshot at most 267386880")
	assert.Empty(t, o.requests)
}

func TestRecoverRunsMeshdRecover(t *testing.T) {
	var ran []string
	var out, errs bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	a.execute = func(_ context.Context, _ *app, name string, args ...string) error {
		ran = append([]string{name}, args...)
		return nil
	}
	require.Equal(t, fault.ExitOK, a.main(t.Context(), strings.Fields("raft recover --data-dir /data --peer east/gw1 --peer west/gw1 --yes")), errs.String())
	assert.Equal(t, strings.Fields("meshd recover --data-dir /data --peer east/gw1 --peer west/gw1"), ran)
	assert.Contains(t, errs.String(), "meshd recover --data-dir /data --peer east/gw1 --peer west/gw1")
	require.Equal(t, fault.ExitOK, a.main(t.Context(), strings.Fields("raft recover --data-dir /data --peer east/gw1 --dry-run -o json")), errs.String())
	assert.Equal(t, strings.Fields("meshd recover --data-dir /data --peer east/gw1 --dry-run --output json"), ran)
	assert.Equal(t, "catalog recovered\n", out.String(), "meshd prints the result of a dry run")
}

func TestRecoverReportsThatMeshdFailsOrIsMissing(t *testing.T) {
	base := []string{"raft", "recover", "--data-dir", "/data", "--peer", "x", "--yes", "--meshd"}
	none := func(string) string { return "" }
	r := runAt(t.Context(), none, "", append(base, "false")...)
	assert.Equal(t, fault.ExitFailure, r.code)
	assert.Contains(t, r.err, "failed with exit code 1")
	r = runAt(t.Context(), none, "", append(base, "no-such-meshd")...)
	assert.Contains(t, r.err, "field: --meshd")
}

func TestVersionOfTheClientIsPrintedWithoutMeshd(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.sock")
	none := func(string) string { return "" }
	r := runAt(t.Context(), none, "", "version", "--socket", missing)
	assert.Equal(t, fault.ExitUnreachable, r.code)
	assert.True(t, strings.HasPrefix(r.out, "meshctl "), r.out)
	assert.Equal(t, fault.ExitOK, runAt(t.Context(), none, "", "version", "--client", "--socket", missing).code)
	assert.Contains(t, meshctl(t, &fakeMeshd{}, "version").out, "meshd   v0.1.0 (commit 0123456789ab, go1.26.8)\n")
}

func TestPluginOfKubectlNamesItselfKubectlMeshway(t *testing.T) {
	for file, want := range map[string]string{
		"meshctl":                            "meshctl",
		"/usr/bin/meshctl":                   "meshctl",
		"/root/.krew/bin/kubectl-meshway":    "kubectl meshway",
		`C:\Users\o\bin\kubectl-meshway.exe`: "kubectl meshway",
	} {
		assert.Equal(t, want, displayName(file), file)
	}
	var out bytes.Buffer
	a := newApp(func(string) string { return "" }, strings.NewReader(""), &out, io.Discard)
	a.name = "kubectl meshway"
	assert.Equal(t, fault.ExitOK, a.main(t.Context(), []string{"token", "create", "--help"}))
	assert.Contains(t, out.String(), "Usage:\n  kubectl meshway token create [flags]")
	assert.Contains(t, out.String(), "  kubectl meshway token create")
	assert.NotContains(t, out.String(), "  meshctl ")
}

func TestVersionStatesFeatureLevelAndControlProtocol(t *testing.T) {
	r := runAt(t.Context(), func(string) string { return "" }, "", "version", "--client", "-o", "json")
	var printed struct {
		Client struct {
			FeatureLevel    int
			ControlProtocol string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.out), &printed))
	assert.Positive(t, printed.Client.FeatureLevel)
	assert.Equal(t, "v1", printed.Client.ControlProtocol)
}

func TestCompletionOffersNamesFromMeshd(t *testing.T) {
	for line, want := range map[string]string{
		"service deregister": "dns\nweb\n", "services": "dns\nweb\n",
		"token revoke": "7kq2m4\n", "datacenter remove": "north\nwest\n", "raft remove-peer": "east/gw1\nnorth/gw1\nwest/gw2\n",
		"services --read": "stale\nlease\nconsistent\n", "status --output": "table\nwide\njson\nyaml\n",
	} {
		args := append(append([]string{"__complete"}, strings.Fields(line)...), "")
		r := meshctl(t, &fakeMeshd{services: services(), snapshot: healthy()}, args...)
		assert.Equal(t, want+":4\n", r.out, line)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		assert.Contains(t, meshctl(t, &fakeMeshd{}, "completion", shell).out, "meshctl")
	}
}

func TestMeshctlLinksNoNetlinkRaftOrKubernetes(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	for dependency := range strings.Lines(string(output)) {
		for _, banned := range []string{"netlink", "hashicorp/raft", "boltdb", "bbolt", "wgctrl", "zx2c4.com", "k8s.io/", "nftables"} {
			assert.NotContains(t, dependency, banned)
		}
	}
}

func TestCommandsNamedInTheRepositoryExist(t *testing.T) {
	root := newRootCommand(newApp(func(string) string { return "" }, nil, nil, nil))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	assert.Greater(t, commandtest.Check(t, "../..", root), 100)
}

func TestReferenceInTheDocumentationIsCurrent(t *testing.T) {
	root := newRootCommand(newApp(func(string) string { return "" }, nil, nil, nil))
	commandtest.CheckReference(t, "../../deploy/docs/meshctl.md", root, *update)
}
