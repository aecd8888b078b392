package identity

import (
	"crypto/ecdh"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/tunnel"
)

var membership = Membership{
	FederationID: federationID, FederationName: "demo", Datacenter: "east", Gateway: "gw1",
	Overlay: netip.MustParsePrefix("fd12:3456:789a::/48"), OverlayAddress: netip.MustParseAddr("fd12:3456:789a:1::1"),
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func usedStore(t testing.TB) (*Store, *CA, tunnel.PrivateKey) {
	t.Helper()
	s := openStore(t, filepath.Join(t.TempDir(), "lib", "meshway"))
	ca, err := s.CA("east", noon)
	require.NoError(t, err)
	key, err := s.WireGuardKey()
	require.NoError(t, err)
	require.NoError(t, s.SaveMembership(membership))
	return s, ca, key
}

func modeOf(t testing.TB, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

func TestKeysAreMadeOnceAndKeptPrivate(t *testing.T) {
	s, ca, key := usedStore(t)
	again := openStore(t, s.Dir())
	sameCA, err := again.CA("east", noon)
	require.NoError(t, err)
	assert.Equal(t, ca.Certificate(), sameCA.Certificate())
	sameKey, err := again.WireGuardKey()
	require.NoError(t, err)
	assert.Equal(t, key, sameKey)
	_, err = ecdh.X25519().NewPrivateKey(key[:])
	require.NoError(t, err)
	assert.Zero(t, key[0]&7, "clamped as wg genkey does")

	assert.EqualValues(t, 0o700, modeOf(t, s.Dir()))
	for _, name := range []string{caKeyFile, wireguardKeyFile} {
		assert.EqualValues(t, 0o600, modeOf(t, s.path(name)), name)
	}
	got, ok, err := again.Membership()
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, membership, got)
}

func TestLeavingKeepsTheKeysAndForgetsTheCatalog(t *testing.T) {
	s, ca, key := usedStore(t)
	require.NoError(t, os.MkdirAll(filepath.Join(s.RaftDir(), "snapshots"), 0o700))
	require.Error(t, s.DiscardRaft(), "a member's catalog is not to be discarded")
	require.NoError(t, s.ClearMembership())
	require.NoError(t, s.ClearMembership(), "twice is once")
	assert.NoDirExists(t, s.RaftDir())
	_, ok, err := s.Membership()
	require.NoError(t, err)
	assert.False(t, ok)
	sameCA, err := s.CA("east", noon)
	require.NoError(t, err)
	assert.Equal(t, ca.Certificate(), sameCA.Certificate())
	sameKey, err := s.WireGuardKey()
	require.NoError(t, err)
	assert.Equal(t, key, sameKey)

	other := membership
	other.FederationID = "another"
	require.NoError(t, s.SaveMembership(other), "free to join another federation")
}

func TestInterruptedLeaveIsFinished(t *testing.T) {
	s, _, _ := usedStore(t)
	require.NoError(t, os.Mkdir(s.RaftDir(), 0o700))
	require.NoError(t, s.writeMembership(storedMembership{Version: 1, Leaving: true, Membership: membership}))
	_, ok, err := s.Membership()
	require.NoError(t, err)
	assert.False(t, ok)
	openStore(t, s.Dir())
	assert.NoDirExists(t, s.RaftDir())
	assert.NoFileExists(t, s.path(membershipFile))
}

func TestRemainsOfAnInterruptedJoinCanBeDiscarded(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "d"))
	require.NoError(t, s.DiscardRaft(), "nothing there is fine")
	require.NoError(t, os.Mkdir(s.RaftDir(), 0o700))
	require.NoError(t, s.DiscardRaft())
	assert.NoDirExists(t, s.RaftDir())
}

// ruin is one way in which a data directory can be bad, and what is said then.
type ruin struct {
	do   func(t *testing.T, s *Store)
	try  func(s *Store) error
	says []string
}

func tryOpen(s *Store) error {
	again, err := Open(s.dir)
	if err == nil {
		_ = again.Close()
	}
	return err
}

func tryCA(s *Store) error     { _, err := s.CA("east", noon); return err }
func tryKey(s *Store) error    { _, err := s.WireGuardKey(); return err }
func tryMember(s *Store) error { _, _, err := s.Membership(); return err }
func tryJoinOther(s *Store) error {
	m := membership
	m.FederationID = "another"
	return s.SaveMembership(m)
}

func overwrite(name, text string) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) { require.NoError(t, os.WriteFile(s.path(name), []byte(text), 0o600)) }
}

func remove(name string) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) { require.NoError(t, os.Remove(s.path(name))) }
}

func chmod(name string, mode os.FileMode) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) { require.NoError(t, os.Chmod(s.path(name), mode)) }
}

func ruins() map[string]ruin {
	return map[string]ruin{
		"CA key readable":        {chmod(caKeyFile, 0o640), tryCA, []string{"0640", "chmod 0600 ", caKeyFile}},
		"WireGuard key readable": {chmod(wireguardKeyFile, 0o604), tryKey, []string{"0604", "chmod 0600 ", wireguardKeyFile}},
		"directory writable":     {chmod(".", 0o777), tryOpen, []string{"0777", "chmod 0700 "}},
		"CA key corrupt":         {overwrite(caKeyFile, "nonsense"), tryCA, []string{caKeyFile, "corrupt", "not PEM", "backup"}},
		"CA certificate corrupt": {overwrite(caCertificateFile, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), tryCA, []string{caCertificateFile, "corrupt"}},
		"WireGuard key corrupt":  {overwrite(wireguardKeyFile, "AAAA"), tryKey, []string{wireguardKeyFile, "corrupt", "32 bytes"}},
		"WireGuard key empty":    {overwrite(wireguardKeyFile, ""), tryKey, []string{wireguardKeyFile, "corrupt"}},
		"membership corrupt":     {overwrite(membershipFile, `{"version":1,`), tryMember, []string{membershipFile, "corrupt", "backup"}},
		"membership empty":       {overwrite(membershipFile, ""), tryOpen, []string{membershipFile, "corrupt"}},
		"membership senseless":   {overwrite(membershipFile, `{"version":1}`), tryMember, []string{"federationID"}},
		"membership of tomorrow": {overwrite(membershipFile, `{"version":2}`), tryMember, []string{"newer meshd"}},
		"CA key lost":            {remove(caKeyFile), tryCA, []string{caKeyFile, "missing", "backup"}},
		"WireGuard key lost":     {remove(wireguardKeyFile), tryKey, []string{wireguardKeyFile, "missing", "backup"}},
		"another federation":     {func(*testing.T, *Store) {}, tryJoinOther, []string{"federation", federationID, "another"}},
		"far too large":          {overwrite(membershipFile, strings.Repeat(" ", maxFile+1)), tryMember, []string{"larger than"}},
		"a directory in its place": {func(t *testing.T, s *Store) {
			remove(wireguardKeyFile)(t, s)
			require.NoError(t, os.Mkdir(s.path(wireguardKeyFile), 0o700))
		}, tryKey, []string{wireguardKeyFile, "not a regular file"}},
		"a link that leads out": {func(t *testing.T, s *Store) {
			remove(wireguardKeyFile)(t, s)
			require.NoError(t, os.Symlink("/dev/zero", s.path(wireguardKeyFile)))
		}, tryKey, []string{wireguardKeyFile}},
	}
}

func TestBadDataDirectoryIsRefusedWithThePathAndNotChanged(t *testing.T) {
	checkRuins(t, ruins())
}

func checkRuins(t *testing.T, ruins map[string]ruin) {
	t.Helper()
	for name, test := range ruins {
		t.Run(name, func(t *testing.T) {
			s, _, _ := usedStore(t)
			test.do(t, s)
			before := listing(t, s.dir)
			err := test.try(s)
			require.Error(t, err)
			for _, says := range test.says {
				assert.ErrorContains(t, err, says)
			}
			assert.ErrorContains(t, err, s.dir)
			assert.Equal(t, before, listing(t, s.dir), "nothing is changed or lost")
		})
	}
}

func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := make(map[string]string)
	for _, e := range entries {
		if !e.Type().IsRegular() {
			files[e.Name()] = e.Type().String()
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = string(text)
	}
	return files
}

func TestDirectoryOfAnotherDatacenterOrGatewayIsRefused(t *testing.T) {
	s, _, _ := usedStore(t)
	require.NoError(t, s.Check(membership, "east", "gw1"))
	for _, err := range []error{s.Check(membership, "west", "gw1"), func() error { _, err := s.CA("west", noon); return err }()} {
		require.ErrorContains(t, err, `datacenter "east"`)
		require.ErrorContains(t, err, `"west"`)
		require.ErrorContains(t, err, "dataDir")
	}
	require.ErrorContains(t, s.Check(membership, "east", "gw2"), `gateway "gw1"`)
}

func TestDatacenterMayBeCalledOtherwiseUntilItIsAMember(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "d"))
	refused, err := s.CA("east", noon)
	require.NoError(t, err)
	ca, err := s.CA("west", noon)
	require.NoError(t, err)
	assert.EqualValues(t, "west", ca.Datacenter())
	assert.Equal(t, refused.Pin(), ca.Pin(), "the key stays")
	again, err := s.CA("west", noon)
	require.NoError(t, err)
	assert.True(t, ca.Equal(again))
}

func TestCrashBetweenKeyAndCertificateKeepsTheCA(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "d"))
	ca, err := s.CA("east", noon)
	require.NoError(t, err)
	require.NoError(t, os.Remove(s.path(caCertificateFile)))
	again, err := s.CA("east", noon)
	require.NoError(t, err)
	assert.Equal(t, ca.Pin(), again.Pin())
	require.FileExists(t, s.path(caCertificateFile))
}

func TestDirectoryOfAnInstallerIsClosed(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	openStore(t, dir)
	assert.EqualValues(t, 0o700, modeOf(t, dir))
}

func TestRemainsOfACrashDoNotHinderWriting(t *testing.T) {
	s, _, _ := usedStore(t)
	overwrite("."+membershipFile+".new", "half")(t, s)
	require.NoError(t, s.SaveMembership(membership))
	assert.NoFileExists(t, s.path("."+membershipFile+".new"))
}

func TestDataDirectoryThatIsAFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := Open(path)
	require.ErrorContains(t, err, "it is a file")
}
