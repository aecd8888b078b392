package build_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestBuildStatesTheVersionsOfCatalogAndControlProtocol(t *testing.T) {
	info := build.Current()
	assert.EqualValues(t, catalog.Level, info.FeatureLevel)
	assert.Equal(t, "meshway.control."+info.ControlProtocol, strings.TrimSuffix(controlpbconnect.FederationName, ".Federation"))
}

func TestBuildIsPrintedOnOneLine(t *testing.T) {
	for _, test := range []struct {
		info build.Info
		want string
	}{
		{build.Info{Version: "devel", Go: "go1.26.8"}, "devel (go1.26.8)"},
		{build.Info{Version: "v0.1.0", Commit: "0123", Go: "go1.26.8"}, "v0.1.0 (commit 0123, go1.26.8)"},
		{
			build.Info{Version: "v0.2.0", Commit: "0123", Go: "go1.26.8", FeatureLevel: 4, ControlProtocol: "v1"},
			"v0.2.0 (commit 0123, go1.26.8, feature level 4, control protocol v1)",
		},
	} {
		assert.Equal(t, test.want, test.info.String())
	}
}
