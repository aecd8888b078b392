package identity

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

func TestKeysAreCreatedOnceAndPrivate(t *testing.T) {
	s, ca, key := usedStore(t)
	again := openStore(t, s.Dir())
	sameCA, err := again.CA("east", noon)
	require.NoError(t, err)
	assert.Equal(t, ca.Certificate(), sameCA.Certificate())
	sameKey, err := again.WireGuardKey()
	require.NoError(t, err)
	assert.Equal(t, key, sameKey)
	assert.Zero(t, key.Bytes()[0]&7, "clamped as wg genkey does")

	assert.EqualValues(t, 0o700, modeOf(t, s.Dir()))
	for _, name := range []string{caKeyFile, wireguardKeyFile} {
		assert.EqualValues(t, 0o600, modeOf(t, s.path(name)), name)
	}
	got, ok, err := again.Membership()
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, membership, got)
}

func TestClearMembershipKeepsTheKeysAndRemovesTheCatalog(t *testing.T) {
	s, ca, key := usedStore(t)
	require.NoError(t, os.MkdirAll(filepath.Join(s.RaftDir(), "snapshots"), 0o700))
	require.Error(t, s.DiscardRaft(), "the catalog of a member is not discarded")
	require.NoError(t, s.ClearMembership())
	require.NoError(t, s.ClearMembership(), "repeating it changes nothing")
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
	require.NoError(t, s.SaveMembership(other), "the gateway may join another federation")
}

func TestOpenCompletesAnInterruptedLeave(t *testing.T) {
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
	require.NoError(t, s.DiscardRaft(), "a missing catalog is not an error")
	require.NoError(t, os.Mkdir(s.RaftDir(), 0o700))
	require.NoError(t, s.DiscardRaft())
	assert.NoDirExists(t, s.RaftDir())
}

// invalidDirectory is a way to make a data directory invalid and the resulting error.
type invalidDirectory struct {
	make func(t *testing.T, s *Store)
	use  func(s *Store) error
	want []string
}

func useOpen(s *Store) error {
	again, err := Open(s.dir)
	if err == nil {
		_ = again.Close()
	}
	return err
}

func useCA(s *Store) error         { _, err := s.CA("east", noon); return err }
func useKey(s *Store) error        { _, err := s.WireGuardKey(); return err }
func useMembership(s *Store) error { _, _, err := s.Membership(); return err }
func useOtherFederation(s *Store) error {
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

func invalidDirectories() map[string]invalidDirectory {
	return map[string]invalidDirectory{
		"CA key readable":               {chmod(caKeyFile, 0o640), useCA, []string{"0640", "chmod 0600 ", caKeyFile}},
		"WireGuard key readable":        {chmod(wireguardKeyFile, 0o604), useKey, []string{"0604", "chmod 0600 ", wireguardKeyFile}},
		"directory writable":            {chmod(".", 0o777), useOpen, []string{"0777", "chmod 0700 "}},
		"CA key corrupt":                {overwrite(caKeyFile, "nonsense"), useCA, []string{caKeyFile, "corrupt", "not PEM", "backup"}},
		"CA certificate corrupt":        {overwrite(caCertificateFile, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), useCA, []string{caCertificateFile, "corrupt"}},
		"WireGuard key corrupt":         {overwrite(wireguardKeyFile, "AAAA"), useKey, []string{wireguardKeyFile, "corrupt", "32 bytes"}},
		"WireGuard key empty":           {overwrite(wireguardKeyFile, ""), useKey, []string{wireguardKeyFile, "corrupt"}},
		"membership corrupt":            {overwrite(membershipFile, `{"version":1,`), useMembership, []string{membershipFile, "corrupt", "backup"}},
		"membership empty":              {overwrite(membershipFile, ""), useOpen, []string{membershipFile, "corrupt"}},
		"membership incomplete":         {overwrite(membershipFile, `{"version":1}`), useMembership, []string{"federationID"}},
		"membership of a newer version": {overwrite(membershipFile, `{"version":2}`), useMembership, []string{"newer meshd"}},
		"CA key missing":                {remove(caKeyFile), useCA, []string{caKeyFile, "missing", "backup"}},
		"WireGuard key missing":         {remove(wireguardKeyFile), useKey, []string{wireguardKeyFile, "missing", "backup"}},
		"another federation":            {func(*testing.T, *Store) {}, useOtherFederation, []string{"federation", federationID, "another"}},
		"membership too large":          {overwrite(membershipFile, strings.Repeat(" ", maxFile+1)), useMembership, []string{"larger than"}},
		"directory instead of a file": {func(t *testing.T, s *Store) {
			remove(wireguardKeyFile)(t, s)
			require.NoError(t, os.Mkdir(s.path(wireguardKeyFile), 0o700))
		}, useKey, []string{wireguardKeyFile, "not a regular file"}},
		"link to another directory": {func(t *testing.T, s *Store) {
			remove(wireguardKeyFile)(t, s)
			require.NoError(t, os.Symlink("/dev/zero", s.path(wireguardKeyFile)))
		}, useKey, []string{wireguardKeyFile}},
	}
}

func TestInvalidDataDirectoryIsReportedWithItsPathAndNotChanged(t *testing.T) {
	checkInvalidDirectories(t, invalidDirectories())
}

func checkInvalidDirectories(t *testing.T, directories map[string]invalidDirectory) {
	t.Helper()
	for name, test := range directories {
		t.Run(name, func(t *testing.T) {
			s, _, _ := usedStore(t)
			test.make(t, s)
			before := listing(t, s.dir)
			err := test.use(s)
			require.Error(t, err)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
			assert.ErrorContains(t, err, s.dir)
			assert.Equal(t, before, listing(t, s.dir), "no file changes")
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

func TestDatacenterCanBeRenamedUntilItIsAMember(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "d"))
	refused, err := s.CA("east", noon)
	require.NoError(t, err)
	ca, err := s.CA("west", noon)
	require.NoError(t, err)
	assert.EqualValues(t, "west", ca.Datacenter())
	assert.Equal(t, refused.Pin(), ca.Pin(), "the key does not change")
	again, err := s.CA("west", noon)
	require.NoError(t, err)
	assert.True(t, ca.Equal(again))
}

// TestCAOfAWrongClockIsSignedAgainUntilTheGatewayIsAMember keeps the key, which others pin.
func TestCAOfAWrongClockIsSignedAgainUntilTheGatewayIsAMember(t *testing.T) {
	for _, wrong := range []time.Time{noon.AddDate(-15, 0, 0), noon.AddDate(15, 0, 0)} {
		s := openStore(t, t.TempDir())
		former, err := s.CA("east", wrong)
		require.NoError(t, err)
		ca, err := s.CA("east", noon)
		require.NoError(t, err)
		require.True(t, ca.ValidAt(noon))
		require.Equal(t, former.Pin(), ca.Pin())
		require.NoError(t, s.SaveMembership(membership))
		kept, err := s.CA("east", wrong)
		require.NoError(t, err)
		require.True(t, ca.Equal(kept), "the others have its certificate")
	}
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

func TestOpenRestrictsTheModeOfAReadableDirectory(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	openStore(t, dir)
	assert.EqualValues(t, 0o700, modeOf(t, dir))
}

func TestTemporaryFileOfACrashIsReplaced(t *testing.T) {
	s, _, _ := usedStore(t)
	overwrite("."+membershipFile+".new", "half")(t, s)
	require.NoError(t, s.SaveMembership(membership))
	assert.NoFileExists(t, s.path("."+membershipFile+".new"))
}

func TestFileAsDataDirectoryIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := Open(path)
	require.ErrorContains(t, err, "not a directory")
}
