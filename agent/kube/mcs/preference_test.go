package mcs_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

func TestAnnotationsSetThePreference(t *testing.T) {
	for name, c := range map[string]struct {
		affinity, minimum string
		want              mcs.Preference
		ignored           int
	}{
		"none":                    {"", "", mcs.Preference{Affinity: "none", MinimumHealthy: 1}, 0},
		"local":                   {"local", "3", mcs.Preference{Affinity: "local", MinimumHealthy: 3}, 0},
		"datacenters":             {"west, north", "", mcs.Preference{Affinity: "none", Datacenters: []catalog.DatacenterName{"west", "north"}, MinimumHealthy: 1}, 0},
		"invalid name":            {"west,", "", mcs.Preference{Affinity: "none", MinimumHealthy: 1}, 1},
		"number that is too low":  {"local", "0", mcs.Preference{Affinity: "local", MinimumHealthy: 1}, 1},
		"share instead of number": {"remote", "50%", mcs.Preference{Affinity: "remote", MinimumHealthy: 1}, 1},
		"both invalid":            {"!", "x", mcs.Preference{Affinity: "none", MinimumHealthy: 1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{}
			if c.affinity != "" {
				annotations[mcs.AffinityAnnotation] = c.affinity
			}
			if c.minimum != "" {
				annotations[mcs.MinimumHealthyAnnotation] = c.minimum
			}
			got, ignored := mcs.PreferenceOf(annotations)
			assert.Equal(t, c.want, got)
			assert.Len(t, ignored, c.ignored)
		})
	}
}

// The cluster is east; '!' marks an endpoint as not ready.
func TestPreferenceAppliesWhileEnoughEndpointsAreReady(t *testing.T) {
	const (
		east1, east2 = "10.1.0.1", "10.1.0.2"
		west, north  = "10.2.0.1", "10.3.0.1"
		all          = east1 + " " + east2 + " " + west + " " + north
	)
	datacenters := func(names ...catalog.DatacenterName) mcs.Preference { return mcs.Preference{Datacenters: names} }
	for name, c := range map[string]struct {
		prefer mcs.Preference
		east   []string
		want   string
	}{
		"enough local endpoints":              {mcs.Preference{Affinity: "local", MinimumHealthy: 2}, []string{east1, east2}, east1 + " " + east2},
		"one ready local endpoint of two":     {mcs.Preference{Affinity: "local", MinimumHealthy: 2}, []string{east1, "!" + east2}, east1 + " " + west + " " + north},
		"too few remote endpoints":            {mcs.Preference{Affinity: "remote", MinimumHealthy: 3}, []string{east1, east2}, all},
		"a datacenter":                        {datacenters("west"), []string{east1, east2}, west},
		"the second, because the first lacks": {datacenters("south", "north"), []string{east1, east2}, north},
		"unknown datacenters":                 {datacenters("south"), []string{east1, east2}, all},
	} {
		t.Run(name, func(t *testing.T) {
			in := input([]catalog.Export{exported("east"), exported("west"), exported("north")},
				endpoints("east", "http", c.east...), endpoints("west", "http", west), endpoints("north", "http", north))
			in.Preference = c.prefer
			assert.Equal(t, c.want, addresses(mcs.Plan(in)))
		})
	}
}

func TestClusterWithoutAnExportPrefersADatacenter(t *testing.T) {
	in := input([]catalog.Export{exported("west"), exported("north")}, endpoints("west", "http", "10.2.0.1"), endpoints("north", "http", "10.3.0.1"))
	in.Preference = mcs.Preference{Datacenters: []catalog.DatacenterName{"north", "west"}}
	assert.Equal(t, "10.3.0.1", addresses(mcs.Plan(in)))
}
