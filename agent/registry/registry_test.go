package registry_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/registry"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestRegistrationsSurviveARestart(t *testing.T) {
	file := registry.File{Path: filepath.Join(t.TempDir(), "new", "services.json")}
	none, err := file.Load()
	require.NoError(t, err)
	assert.Empty(t, none)
	services := []catalog.Service{{
		ServiceKey: catalog.ServiceKey{Datacenter: "east", Namespace: "default", Name: "web", Instance: "a"},
		Owner:      "east/gw", Address: netip.MustParseAddr("10.1.0.10"),
		Ports: []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}}, Labels: map[string]string{"k": "v"},
	}}
	require.NoError(t, file.Save(services))
	loaded, err := file.Load()
	require.NoError(t, err)
	assert.Equal(t, services, loaded)
}

func TestCorruptRegistrationsAreNamedAndNotReplaced(t *testing.T) {
	file := registry.File{Path: filepath.Join(t.TempDir(), "services.json")}
	require.NoError(t, os.WriteFile(file.Path, []byte("{"), 0o600))
	_, err := file.Load()
	require.ErrorContains(t, err, file.Path)
	kept, err := os.ReadFile(file.Path)
	require.NoError(t, err)
	assert.Equal(t, "{", string(kept))
}
