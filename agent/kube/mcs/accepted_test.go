package mcs_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// What the API server of a cluster would refuse in the export of another datacenter
// must not keep the service from being imported.
func TestContentThatKubernetesRefusesIsDropped(t *testing.T) {
	e := exported("west", func(e *catalog.Export) {
		e.Labels = map[string]string{"good": "yes", "bad key": "x", "long": strings.Repeat("x", 64)}
		e.Annotations = map[string]string{"good": "yes", "": "x", mcs.AffinityAnnotation: "local"}
		e.Ports[0].AppProtocol = "not valid"
		e.TrafficDistribution = "Nearest"
		e.Mirror = true
	})
	s := endpoints("west", "http", "10.2.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0")
	s.Endpoints[0].Zone = "a zone"
	s.Ports[0].AppProtocol = "not valid"
	i := mcs.Plan(input([]catalog.Export{e}, s))
	assert.Equal(t, map[string]string{"good": "yes", mcs.ManagedByLabel: mcs.ManagedBy}, i.ServiceImport.Labels)
	assert.Equal(t, map[string]string{"good": "yes", mcs.DerivedServiceAnnotation: i.Service.Name}, i.ServiceImport.Annotations)
	assert.Nil(t, i.Service.Spec.TrafficDistribution)
	assert.Nil(t, i.Service.Spec.Ports[0].AppProtocol)
	assert.Nil(t, i.Slices[0].Ports[0].AppProtocol)
	assert.Nil(t, i.Slices[0].Endpoints[0].Zone)
	assert.Equal(t, "10.2.0.1", addresses(i))
	assert.Len(t, i.Mirrors, 1)
}

func TestMirrorWithAnInvalidNameIsLeftOut(t *testing.T) {
	in := input([]catalog.Export{exported("west", func(e *catalog.Export) { e.Name, e.Mirror = "9web", true })})
	in.Name.Name = "9web"
	i := mcs.Plan(in)
	assert.NotNil(t, i.ServiceImport)
	assert.Empty(t, i.Mirrors)
}

func TestGeneratedPortNamesDiffer(t *testing.T) {
	i := mcs.Plan(input([]catalog.Export{exported("west", ports("- 80/tcp", "tcp-80 81/tcp"))}))
	assert.Equal(t, "tcp-80-0", i.Service.Spec.Ports[0].Name)
	assert.Equal(t, "tcp-80", i.Service.Spec.Ports[1].Name)
}
