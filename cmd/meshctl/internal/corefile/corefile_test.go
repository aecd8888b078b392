package corefile_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/meshctl/internal/corefile"
)

func TestEnableAddsTheZoneAndDisableRemovesIt(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"kubeadm's": {
			".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n        pods insecure\n    }\n    reload\n}\n",
			".:53 {\n    errors\n    kubernetes cluster.local clusterset.local in-addr.arpa ip6.arpa {\n        multicluster clusterset.local\n        pods insecure\n    }\n    reload\n}\n",
		},
		"without a block": {
			".:53 {\n  kubernetes cluster.local\n}",
			".:53 {\n  kubernetes cluster.local clusterset.local {\n      multicluster clusterset.local\n  }\n}",
		},
		"a zone without the option": {
			"dns://.:53 {\n    kubernetes a.example clusterset.local {\n    }\n}",
			"dns://.:53 {\n    kubernetes a.example clusterset.local {\n        multicluster clusterset.local\n    }\n}",
		},
		"a cache in another block too": {
			".:53 {\n    kubernetes cluster.local {\n    }\n    cache 30\n}\nb:53 {\n    cache 5\n}",
			".:53 {\n    kubernetes cluster.local clusterset.local {\n        multicluster clusterset.local\n    }\n" +
				"    cache 30 {\n        disable success clusterset.local\n        disable denial clusterset.local\n    }\n}\nb:53 {\n    cache 5\n}",
		},
		"kubeadm's cache": {
			".:53 {\n    kubernetes cluster.local\n    cache 30 {\n       disable success cluster.local\n       disable denial cluster.local\n    }\n}",
			".:53 {\n    kubernetes cluster.local clusterset.local {\n        multicluster clusterset.local\n    }\n" +
				"    cache 30 {\n       disable success cluster.local clusterset.local\n       disable denial cluster.local clusterset.local\n    }\n}",
		},
		"a cache without denials": {
			"b {\n    cache 5\n}\n.:53 {\n    cache {\n        disable denial\n    }\n    kubernetes cluster.local\n}",
			"b {\n    cache 5\n}\n.:53 {\n    cache {\n        disable success clusterset.local\n        disable denial\n    }\n" +
				"    kubernetes cluster.local clusterset.local {\n        multicluster clusterset.local\n    }\n}",
		},
		"comments": {
			"# kubernetes x {\n.:53 {\n    # kubernetes y\n    kubernetes z {\n    }\n}",
			"# kubernetes x {\n.:53 {\n    # kubernetes y\n    kubernetes z clusterset.local {\n        multicluster clusterset.local\n    }\n}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := corefile.Enable(c.before)
			require.NoError(t, err)
			assert.Equal(t, c.after, got)
			again, err := corefile.Enable(got)
			require.NoError(t, err)
			assert.Equal(t, got, again, "Enable is idempotent")
			if name == "kubeadm's" || name == "comments" {
				assert.Equal(t, c.before, corefile.Disable(got), "Disable undoes Enable")
			}
			assert.NotContains(t, corefile.Disable(got), corefile.Zone)
		})
	}
}

func TestEnableRefusesUnsupportedCorefiles(t *testing.T) {
	_, err := corefile.Enable(".:53 {\n    forward . 192.0.2.1\n}")
	require.ErrorIs(t, err, corefile.ErrNoKubernetes)
	_, err = corefile.Enable("cluster.local:53 {\n    kubernetes cluster.local\n}")
	assert.ErrorContains(t, err, "add clusterset.local to it")
}

func TestDiffMarksRemovedAndAddedLines(t *testing.T) {
	assert.Equal(t, "  a\n- b\n+ c\n+ d\n  e\n", corefile.Diff("a\nb\ne", "a\nc\nd\ne"))
}
