package mcs_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/agent/kube/mcs/mcstest"
	"github.com/meshway/meshway/consensus/catalog"
)

// registered returns an instance from "datacenter/instance address port…", each port as
// "name:number/protocol". Earlier ones of a list are older.
func registered(list ...string) []catalog.Service {
	var all []catalog.Service
	for n, text := range list {
		fields := strings.Fields(text)
		dc, instance, _ := strings.Cut(fields[0], "/")
		s := catalog.Service{
			ServiceKey: catalog.ServiceKey{Datacenter: catalog.DatacenterName(dc), Namespace: "shop", Name: "web", Instance: instance},
			Address:    netip.MustParseAddr(fields[1]), ModifiedIndex: uint64(n + 1),
		}
		for _, port := range fields[2:] {
			name, rest, _ := strings.Cut(port, ":")
			p := catalog.Port{Name: name}
			if _, err := fmt.Sscanf(rest, "%d/%s", &p.Number, &p.Protocol); err != nil {
				panic(err)
			}
			s.Ports = append(s.Ports, p)
		}
		all = append(all, s)
	}
	return all
}

// described returns the ports of an import and the endpoints with their ports, as
// "service ports | datacenter address ports | …".
func described(i mcs.Import) string {
	if i.ServiceImport == nil {
		return ""
	}
	text := string(i.ServiceImport.Spec.Type)
	for _, p := range i.ServiceImport.Spec.Ports {
		text += fmt.Sprintf(" %s:%d/%s", p.Name, p.Port, p.Protocol)
	}
	for _, s := range i.Slices {
		text += " | " + s.Labels[mcsv1.LabelSourceCluster]
		for _, e := range s.Endpoints {
			text += " " + e.Addresses[0]
		}
		for _, p := range s.Ports {
			text += fmt.Sprintf(" %s:%d/%s", *p.Name, *p.Port, *p.Protocol)
		}
	}
	return text
}

func TestRegisteredInstancesAreAServiceImport(t *testing.T) {
	for name, c := range map[string]struct {
		instances    []string
		want, notice string
	}{
		"none": {nil, "", ""},
		"instances of two datacenters": {
			[]string{"north/b 10.3.0.2 http:80/tcp", "north/a 10.3.0.1 http:80/tcp", "west/a 10.2.0.1 http:80/tcp"},
			"ClusterSetIP http:80/TCP | north 10.3.0.2 10.3.0.1 http:80/TCP | west 10.2.0.1 http:80/TCP", "",
		},
		"another number under the name": {
			[]string{"north/a 10.3.0.1 http:80/tcp", "north/b 10.3.0.2 http:8080/tcp"},
			"ClusterSetIP http:80/TCP | north 10.3.0.2 http:8080/TCP | north 10.3.0.1 http:80/TCP", "",
		},
		"another name of the number": {
			[]string{"north/a 10.3.0.1 http:80/tcp", "north/b 10.3.0.2 :80/tcp"},
			"ClusterSetIP http:80/TCP | north 10.3.0.1 10.3.0.2 http:80/TCP", "",
		},
		"names exchanged": {
			[]string{"north/a 10.3.0.1 x:80/tcp y:81/tcp", "north/b 10.3.0.2 x:81/tcp y:80/tcp"},
			"ClusterSetIP x:80/TCP y:81/TCP | north 10.3.0.2 x:81/TCP y:80/TCP | north 10.3.0.1 x:80/TCP y:81/TCP", "",
		},
		"further port": {
			[]string{"north/a 10.3.0.1 http:80/tcp", "north/b 10.3.0.2 http:80/tcp dns:53/udp"},
			"ClusterSetIP http:80/TCP dns:53/UDP | north 10.3.0.2 http:80/TCP dns:53/UDP | north 10.3.0.1 http:80/TCP", "",
		},
		"another protocol under the name": {
			[]string{"north/a 10.3.0.1 dns:53/udp", "north/b 10.3.0.2 dns:53/tcp"},
			"ClusterSetIP dns:53/UDP | north 10.3.0.1 dns:53/UDP",
			"registered instance b of datacenter north is not used, since none of its ports has the name or number, and the protocol, of one of the service",
		},
		"no ports": {[]string{"north/a 10.3.0.1", "west/a 10.2.0.1"}, "Headless | north 10.3.0.1 | west 10.2.0.1", ""},
		"some without ports": {
			[]string{"north/a 10.3.0.1", "north/b 10.3.0.2", "west/a 10.2.0.1 http:80/tcp"},
			"ClusterSetIP http:80/TCP | west 10.2.0.1 http:80/TCP",
			"2 registered instances, such as a of datacenter north, are not used, since none of its ports has the name or number, and the protocol, of one of the service",
		},
		"two families": {
			[]string{"north/a 10.3.0.1 http:80/tcp", "north/b fd00:3::1 http:80/tcp"},
			"ClusterSetIP http:80/TCP | north fd00:3::1 http:80/TCP | north 10.3.0.1 http:80/TCP", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(nil)
			in.Registered = registered(c.instances...)
			i := mcs.Plan(in)
			assert.Equal(t, c.want, described(i))
			assert.Equal(t, c.notice, i.Notice)
			if i.ServiceImport != nil && i.ServiceImport.Spec.Type == mcsv1.ClusterSetIP {
				require.NotNil(t, i.Service)
				assert.Len(t, i.Service.Spec.Ports, len(i.ServiceImport.Spec.Ports))
			}
			in.Namespace = false
			assert.Empty(t, described(mcs.Plan(in)), "without the namespace")
		})
	}
}

// An export of any datacenter takes precedence, and the condition reports it.
func TestRegistrationChangesNoExportedService(t *testing.T) {
	in := input([]catalog.Export{exported("west")}, endpoints("west", "http", "10.2.0.1"))
	alone := mcs.Plan(in)
	in.Registered = registered("north/a 10.3.0.1 http:80/tcp x:81/tcp")
	i := mcs.Plan(in)
	assert.Equal(t, "registered instance a of datacenter north is not used, since datacenter west exports the name", i.Notice)
	i.Notice = ""
	assert.Equal(t, alone, i)
}

// The port of the service is that of the instance which is unchanged for the longest time.
func TestNewInstanceDoesNotChangeThePortOfAService(t *testing.T) {
	in := input(nil)
	in.Registered = registered("north/a 10.3.0.1 http:80/tcp", "north/b 10.3.0.2 http:81/tcp")
	before := described(mcs.Plan(in))
	assert.Contains(t, before, "ClusterSetIP http:80/TCP |")
	in.Registered[0].ModifiedIndex, in.Registered[1].ModifiedIndex = 2, 1
	assert.Contains(t, described(mcs.Plan(in)), "ClusterSetIP http:81/TCP |")
}

func TestManyRegisteredInstancesAreInSlicesOfLimitedSize(t *testing.T) {
	var list []string
	for n := range 450 {
		list = append(list, fmt.Sprintf("north/%03d 10.3.%d.%d http:80/tcp", n, n/250+1, n%250+1))
	}
	in := input(nil)
	in.Registered = registered(list...)
	i := mcs.Plan(in)
	count := 0
	for _, s := range i.Slices {
		assert.LessOrEqual(t, len(s.Endpoints), catalog.MaxSliceEndpoints)
		count += len(s.Endpoints)
	}
	assert.Equal(t, 450, count)
	assert.Len(t, i.Slices, 3)
}

func TestNamespaceSelectsTheDatacentersItImportsFrom(t *testing.T) {
	c := mcstest.NewCatalog(t, "east", "west", "north")
	for _, dc := range []catalog.DatacenterName{"west", "north"} {
		c.At(dc).Register(t, "shop", "web", map[catalog.DatacenterName]string{"west": "10.2.0.1", "north": "10.3.0.1"}[dc])
	}
	for value, want := range map[string]string{
		"": "", "false": "", "true": "north west", "north": "north", "north, west": "north west", "south": "",
		"yes!": "unknown", "north,": "unknown", "true,north": "unknown", "North": "unknown",
	} {
		o, ok := mcs.OriginsOf(map[string]string{mcs.ImportAnnotation: value})
		got := []string{}
		for _, s := range mcs.Registered(c.View(), web(), o) {
			got = append(got, string(s.Datacenter))
		}
		if !ok {
			assert.True(t, o.None(), value)
			got = []string{"unknown"}
		}
		assert.Equal(t, want, strings.Join(got, " "), value)
	}
}
