package mcs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube/mcs"
	"github.com/meshway/meshway/consensus/catalog"
)

// mirrorOf returns an export in namespace shop that requests a mirror.
func mirrorOf(name, dc string, age time.Duration) catalog.Export {
	return exported(dc, func(e *catalog.Export) {
		e.Name, e.Mirror, e.CreatedAt = name, true, created().Add(-age)
	})
}

// The name of a mirror can be split in more than one way.
func TestNameOfAMirrorBelongsToTheOldestExport(t *testing.T) {
	for name, c := range map[string]struct {
		rival catalog.Export
		want  string // the mirrors of service a-b of c
	}{
		"older":                      {mirrorOf("a", "b-c", time.Hour), ""},
		"younger":                    {mirrorOf("a", "b-c", -time.Hour), "a-b-c"},
		"equally old, first by name": {mirrorOf("a", "b-c", 0), ""},
		"without a mirror":           {func() catalog.Export { e := mirrorOf("a", "b-c", time.Hour); e.Mirror = false; return e }(), "a-b-c"},
		"of another name":            {mirrorOf("a", "c", time.Hour), "a-b-c"},
	} {
		t.Run(name, func(t *testing.T) {
			in := mcs.Input{
				Name: catalog.ServiceName{Namespace: "shop", Name: "a-b"}, Datacenter: "east", Namespace: true,
				Exports: []catalog.Export{mirrorOf("a-b", "c", 0)}, Rivals: []catalog.Export{c.rival},
			}
			i := mcs.Plan(in)
			var got string
			for _, s := range i.Mirrors {
				got += s.Name
			}
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.want == "", len(i.Refused) == 1)
			if in.Datacenter = c.rival.Datacenter; in.Datacenter != in.Exports[0].Datacenter {
				assert.Len(t, mcs.Plan(in).Mirrors, 1, "a cluster does not mirror its own exports")
			}
		})
	}
}
