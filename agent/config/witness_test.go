package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAWitnessNeedsItsNameOnly(t *testing.T) {
	c, err := parse(t, "datacenter: witness\nwitness: true\n")
	require.NoError(t, err)
	assert.True(t, c.Witness)
	assert.Empty(t, c.Prefixes)
	c, err = parse(t, "datacenter: east\nwitness: false\nprefixes: {pods: [10.1.0.0/16]}\n")
	require.NoError(t, err)
	assert.False(t, c.Witness)
}

func TestAWitnessHasNothingThatCarriesTraffic(t *testing.T) {
	for key, source := range map[string]string{
		"prefixes.pods":      "prefixes: {pods: [10.1.0.0/16]}",
		"prefixes.services":  "prefixes: {services: [10.1.0.0/16]}",
		"prefixes.nodes":     "prefixes: {nodes: [10.1.0.0/16]}",
		"kubernetes.enabled": "kubernetes: {enabled: true, nodeName: a}",
		"routing.accept":     "routing: {accept: {west: [10.2.0.0/16]}}",
		"routing.yield":      "routing: {yield: [10.2.0.0/16]}",
		"routing.confine":    "routing: {confine: false}",
		"services":           "services: [{name: web, address: 10.1.0.1, ports: [{port: 80}]}]",
	} {
		t.Run(key, func(t *testing.T) {
			_, err := parse(t, "datacenter: witness\nwitness: true\n"+source+"\n")
			require.ErrorContains(t, err, key+": a witness only votes")
			assert.NotContains(t, err.Error(), "\n", "one fault")
			assert.Contains(t, err.Error(), "meshd.yaml:3:", "its position")
			assert.Contains(t, err.Error(), "remove this key, or witness")
			_, err = parse(t, "datacenter: witness\nprefixes: {nodes: [10.1.0.0/24]}\nwitness: false\n")
			require.NoError(t, err)
		})
	}
	c, err := parse(t, "datacenter: witness\nwitness: true\nrouting: {table: 7000, confine: true, accept: {}, yield: []}\nprefixes: {pods: []}\n")
	require.NoError(t, err, "numbers, and what is empty, are allowed")
	assert.Equal(t, 7000, c.Routing.Table)
}
